"""Phases: train, fine-tune, evaluate at several resolutions; which resolutions go together."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import List, Optional

import pytest
from integration_images import ImagesRun
from integration_sessions import make_machine, open_session

from ipu_app.__main__ import main
from ipu_app.cli.train import add_arguments
from ipu_app.cli.train_config import config_from_args
from ipu_app.config.load import CONFIGS, load_config, save_config
from ipu_app.config.schema import RunConfig
from ipu_app.models.efficientnet import EfficientNet
from ipu_app.models.parity import nearest_agreeing, parity_modulus, parity_warnings
from ipu_app.models.spec import SIZES, make_spec
from ipu_app.runtime.base import StepKnobs
from ipu_app.settling.first_lines import first_lines
from ipu_app.settling.origin import Origin, read_earlier
from ipu_app.settling.phase_estimates import configured_spec
from ipu_app.settling.settle import Request, settle
from ipu_app.training.checkpoint import find_checkpoints, load_weights
from ipu_app.training.sinks import read_rows


def test_the_end_of_a_run_evaluates_at_each_resolution(images_run: ImagesRun) -> None:
    """At the run's own resolution it finds what the last validation found."""
    summary = json.loads((images_run.path / "summary.json").read_text())
    rows = [row for row in read_rows(images_run.path / "metrics.jsonl") if row["kind"] == "evaluate"]
    assert [row["resolution"] for row in rows] == [32, 48]
    assert [row["resolution"] for row in summary["evaluations"]] == [32, 48]
    assert summary["evaluations"][0]["top1"] == summary["val_top1"]
    assert summary["evaluations"][0]["loss"] == pytest.approx(summary["val_loss"], abs=1e-6)


@pytest.fixture(scope="module")
def native_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("native")
    words = ["train", "--run", "b0-g16-gn-native", "--smoke", "--device", "cpu", "--name", "native"]
    assert main([*words, "--set", f"runs_dir={runs}"]) == 0
    return runs / "native"


def test_a_native_run_is_fine_tuned_by_the_papers_phase(native_run: Path, tmp_path: Path) -> None:
    """Only Top learns, at the run's resolution, from its averaged weights."""
    words = ["train", "--from", str(native_run), "--phase", "finetune", "--smoke", "--device", "cpu"]
    assert main([*words, "--name", "tuned", "--set", f"runs_dir={tmp_path}"]) == 0
    config = load_config(tmp_path / "tuned" / "config.yaml")
    (phase,) = config.phases.values()
    assert (phase.name, phase.trainable, phase.schedule.kind) == ("finetune", "Top", "cosine")
    assert phase.resolution == load_config(native_run / "config.yaml").phases["train"].resolution
    before = load_weights(find_checkpoints(native_run / "checkpoints")[-1], averaged=True)
    after = load_weights(find_checkpoints(tmp_path / "tuned" / "checkpoints")[-1], averaged=False)
    changed = {name for name in before if not before[name].equal(after[name])}
    assert changed and all(name.startswith("blocks.Top.") for name in changed)
    assert (tmp_path / "tuned" / "report.html").is_file()


def test_flags_mean_the_chosen_phase(native_run: Path) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    words = ["--from", str(native_run), "--phase", "finetune", "--res", "40", "--epochs", "3", "--ipus", "4"]
    (phase,) = config_from_args(parser.parse_args(words)).phases.values()
    assert (phase.name, phase.resolution, phase.epochs, phase.batch.replicas) == ("finetune", 40, 3, 4)


@pytest.mark.parametrize(
    "recipe, resolution",
    [("b0-g16-ln_pn-half", None), ("b0-g16-ln_pn-native", 224), ("b5-g16-gn-half", None)],
)
def test_the_training_phase_alone_of_a_half_run_is_fine_tuned_at_the_native_resolution(
    recipe: str, resolution: Optional[int], tmp_path: Path
) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    trained = config_from_args(parser.parse_args(["--run", recipe, "--phase", "train"]))
    save_config(trained, tmp_path / "config.yaml")
    words = ["--from", str(tmp_path), "--phase", "finetune"]
    (phase,) = config_from_args(parser.parse_args(words)).phases.values()
    assert phase.resolution == resolution


@pytest.mark.parametrize("path", sorted((CONFIGS / "recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_recipes_keep_the_rule_of_resolutions(path: Path) -> None:
    config = load_config(path)
    spec = configured_spec(config.model)
    resolutions = [phase.resolution or spec.native_resolution for phase in config.phases.values()]
    tests = list(config.evaluate.resolutions)
    assert parity_warnings(spec, resolutions[0], [*resolutions, *tests]) == []
    assert bool(tests) == path.stem.endswith("-half") and all(px <= 700 for px in tests)


@pytest.mark.parametrize("size", [name for name, row in SIZES.items() if row.half])
def test_the_published_pairs_agree(size: str) -> None:
    spec = make_spec(size)
    assert parity_modulus(spec) == 32
    assert parity_warnings(spec, SIZES[size].half, [SIZES[size].native]) == []


@pytest.mark.parametrize(
    "resolution, trained_at, nearest",
    [(192, 196, [164, 196]), (220, 160, [192, 224]), (700, 252, [700, 732]), (40, 100, [36, 68])],
)
def test_nearest_resolutions_that_agree(resolution: int, trained_at: int, nearest: List[int]) -> None:
    assert nearest_agreeing(resolution, trained_at, 32) == nearest


def warnings(config: RunConfig, origin: Optional[Origin] = None) -> List[str]:
    run = settle(Request(config, origin=origin or Origin()), make_machine("cpu"))
    return [line for line in first_lines(run) if line.startswith("warning: ")]


def test_a_pair_that_breaks_the_rule_is_warned_of(native_run: Path) -> None:
    """Also where the training was another run's; not where padding is symmetric."""
    half = CONFIGS / "recipes" / "b2-g16-ln_pn-half.yaml"
    config = load_config(half, ["phases.train.resolution=192", "evaluate.resolutions=[260,288]"])
    (warning,) = warnings(config)
    assert "warning: 260 px after training at 192 px" in warning and "256 or 288" in warning
    tuned = load_config(native_run / "config.yaml", ["phases.train.resolution=45"])
    (warning,) = warnings(tuned, read_earlier(Origin(from_run=native_run)))
    assert "45 px after training at 32 px" in warning and "32 or 64" in warning
    assert parity_modulus(make_spec("cifar")) == 8
    assert parity_warnings(make_spec("b0", padding="symmetric"), 160, [220]) == []


BATCH_NORM = """
model: {name: cifar, group_size: 16, norm: bn}
data: {source: "generated:3", limit_train: 16, limit_val: 4}
phases:
  finetune:
    epochs: 1
    resolution: 32
    trainable: block3b
    averaging: 0
    batch: {micro: 4, accumulation: 3, replicas: 1, torch_micro: 4}
    pipeline: {splits: [block3a], precision: 32.32}
"""


@pytest.mark.parametrize("device", ["cpu", "ipu"])
def test_frozen_blocks_keep_the_statistics_of_their_batch_norms(device: str, tmp_path: Path) -> None:
    """And normalise with them: what the frozen blocks compute is what they compute in evaluation."""
    file = tmp_path / "bn.yaml"
    file.write_text(BATCH_NORM)
    config = load_config(file, ["device.poptorch=sim"])
    session = open_session(config, "finetune", device)
    before = session.runtime.weights()
    batch = next(iter(session.train_loader))
    session.runtime.train_batch(batch, StepKnobs(lr=0.1))
    after = session.runtime.weights()
    session.runtime.close()
    changed = {name for name in before if not before[name].equal(after[name])}
    blocks = list(EfficientNet(session.spec).blocks)
    learning = blocks[blocks.index("block3b") :]
    assert {name.split(".")[1] for name in changed} == set(learning)
    statistics = [name for name in changed if name.endswith(("running_mean", "running_var"))]
    assert {name.split(".")[1] for name in statistics} == set(learning)
