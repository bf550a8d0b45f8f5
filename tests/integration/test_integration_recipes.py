"""All published recipes in miniature, to their end: training, fine-tuning, evaluation, report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ipu_app.__main__ import main
from ipu_app.config.load import CONFIGS, load_config

RECIPES = sorted(path.stem for path in (CONFIGS / "recipes").glob("*.yaml"))
SIZES = ("b0", "b1", "b2", "b3", "b4", "b5")
FAMILIES = ("g1-gn-native", "g16-gn-half", "g16-gn-native", "g16-ln_pn-half", "g16-ln_pn-native")


def test_there_is_a_recipe_for_every_published_run() -> None:
    assert sorted(f"{size}-{family}" for size in SIZES for family in FAMILIES) == RECIPES


# every size twice, every family in two sizes at least; the others are made of the same parts
TRAINED = [f"{SIZES[n % 6]}-{FAMILIES[n % 5]}" for n in range(12)]


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe_is_settled_as_published(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every phase at its own size, for IPUs: batches, plan and estimate; nothing is computed."""
    words = ["train", "--run", recipe, "--device", "ipu", "--poptorch", "sim", "--data", "generated:1000"]
    assert main([*words, "--dry-run"]) == 0
    said = capsys.readouterr().out
    phases = load_config(CONFIGS / "recipes" / f"{recipe}.yaml").phases
    assert said.count("\nphase ") == said.count("\n  plan: estimated ") == len(phases)
    for name, phase in phases.items():
        assert f"phase {name}: " in said and f"in steps of {phase.batch.global_batch} images" in said


@pytest.mark.slow
@pytest.mark.parametrize("recipe", TRAINED)
def test_recipe_runs_in_miniature(recipe: str, tmp_path: Path) -> None:
    words = ["train", "--run", recipe, "--smoke", "--device", "cpu", "--name", "smoke"]
    assert main([*words, "--set", f"runs_dir={tmp_path}"]) == 0
    summary = json.loads((tmp_path / "smoke" / "summary.json").read_text())
    config = load_config(CONFIGS / "recipes" / f"{recipe}.yaml")
    assert summary["model"] == recipe[:2] and summary["epochs"] == len(config.phases)
    assert summary["val_images"] == 4 and bool(summary["evaluations"]) == recipe.endswith("half")
    assert (tmp_path / "smoke" / "report.html").is_file()
