"""EfficientNetV2's recipes: what they say, and in miniature to their end on the simulator and on CPU."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from ipu_app.__main__ import main
from ipu_app.build import make_optimizer_spec
from ipu_app.cli.train import add_arguments
from ipu_app.cli.train_config import config_from_args
from ipu_app.config.load import CONFIGS, load_config, nearest_recipe, recipe_path
from ipu_app.config.phase_stages import phase_stages
from ipu_app.config.schema import RunConfig
from ipu_app.data.randaugment import argument
from ipu_app.models.layout import sub_block_names
from ipu_app.settling.phase_estimates import configured_spec, estimate_phase, memory_problem
from pipelines.cost.hardware import ipu_target

FILES = sorted((CONFIGS / "recipes_v2").glob("*.yaml"))
VARIANTS = ("g1-bn", "g16-gn", "g16-ln_pn")
KINDS = ("native", "progressive")
SIZES = ("b0", "b1", "b2", "b3", "s", "m", "l")


def names() -> Any:
    for size in SIZES:
        for variant in VARIANTS:
            for kind in KINDS:
                yield f"v2-{size}-{variant}-{kind}"
                if size in "ml":
                    yield f"v2-{size}-{variant}-{kind}-pod64"


def test_there_is_a_recipe_for_every_size_variant_and_kind() -> None:
    assert sorted(names()) == sorted(path.stem for path in FILES)
    assert nearest_recipe("V2-S", 16, "gn").stem == "v2-s-g16-gn-native"
    assert recipe_path("v2-b0-g1-bn-native").parent.name == "recipes_v2"
    with pytest.raises(ValueError, match="near are v2-.*-g16-ln_pn-native"):
        recipe_path("v2-s-g16-lnpn-native")


def train(config: RunConfig) -> Any:
    (phase,) = config.phases.values()
    return phase


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_recipes_are_the_released_training_and_fit_their_pod(path: Path) -> None:
    config = load_config(path)
    spec, phase = configured_spec(config.model), train(config)
    _, size, group, norm, *_ = path.stem.split("-")
    assert (spec.name, f"g{spec.group_size}", spec.norm) == (f"v2-{size}", group, norm)
    assert phase.epochs == 350 and phase.batch.global_batch == 4096
    assert (phase.averaging, phase.averaging_per) == (0.9999, "update")
    optimizer = make_optimizer_spec(phase)
    assert optimizer.lr == pytest.approx(0.256)
    assert (optimizer.rho, optimizer.decay_rule) == (0.9, "kernels")
    assert list(config.evaluate.resolutions) == [spec.evaluation_resolution]
    assert config.data.normalise == ("torchvision" if size.startswith("b") else "released_v2")
    assert config.data.crop == "v2"
    evaluation = spec.evaluation_resolution
    stages = phase_stages(config, "train", native=spec.native_resolution, evaluation=evaluation)
    assert len(stages) == (4 if "progressive" in path.stem else 1)
    for stage in (each.phase for each in stages):
        assert set(stage.pipeline.splits) < set(sub_block_names(spec))
        num_ipus = stage.batch.replicas * (len(stage.pipeline.splits) + 1)
        assert num_ipus == (64 if path.stem.endswith("pod64") else 16)
        assert stage.batch.global_batch == 4096 and stage.batch.micro >= stage.augment.least_micro
        assert stage.batch.accumulation >= stage.least_accumulation
        if "progressive" in path.stem and group == "g16":
            assert stage.resolution % 32 == evaluation % 32


def test_a_recipe_fits_by_the_estimate(tmp_path: Path) -> None:
    config = load_config(recipe_path("v2-b0-g16-ln_pn-native"))
    environ = {"XDG_CACHE_HOME": str(tmp_path)}
    estimate = estimate_phase(config.model, train(config), target=ipu_target("mk2"), environ=environ)
    assert memory_problem(estimate) == ""


def in_miniature(recipe: str, device: str, folder: Path) -> Any:
    words = ["train", "--run", recipe, "--smoke", "--device", device, "--name", "smoke"]
    assert main([*words, "--set", f"runs_dir={folder}"]) == 0
    assert (folder / "smoke" / "report.html").is_file()
    return json.loads((folder / "smoke" / "summary.json").read_text())


@pytest.mark.parametrize("device", ["ipu", "cpu"])
def test_a_recipe_runs_in_miniature(device: str, tmp_path: Path) -> None:
    summary = in_miniature("v2-b0-g16-ln_pn-native", device, tmp_path)
    assert summary["model"] == "v2-b0" and summary["val_images"] == 4
    assert len(summary["evaluations"]) == 2


@pytest.mark.parametrize("recipe", ["v2-s-g16-gn-native", "v2-m-g1-bn-native"])
def test_miniatures_mix_and_change_images_without_covering_them(recipe: str) -> None:
    """Whole images of RandAugment's grey would be inputs of 0; halves need micro-batches of 4."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    config = config_from_args(parser.parse_args(["--run", recipe, "--smoke"]))
    phase, whole = train(config), train(load_config(recipe_path(recipe)))
    assert phase.batch.micro >= phase.augment.least_micro
    assert phase.augment.mixes == whole.augment.mixes
    magnitude = phase.augment.randaugment.magnitude
    assert 0 < 2 * argument("Cutout", magnitude) < phase.resolution
