"""The command line, end to end: real runs in seconds, and refusals in one line."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import List, Tuple

import pytest
import torch
from PIL import Image

from ipu_app.__main__ import main
from ipu_app.config.load import CONFIGS
from ipu_app.training.checkpoint import find_checkpoints
from ipu_app.training.sinks import read_rows

TINY = """
model: {name: cifar, group_size: 16, norm: ln_pn}
data: {limit_train: 64, limit_val: 20}
tracking: {logs_per_epoch: 2}
phases:
  train:
    epochs: 2
    resolution: 32
    averaging: 0.5
    batch: {micro: 4, accumulation: 4, replicas: 2, torch_micro: 16}
    optimizer: {kind: adamw, lr: 0.002, eps: 1.0e-6, loss_scale: 1}
    schedule: {kind: cosine, warmup_epochs: 0.5}
    pipeline: {splits: [block3a], precision: 32.32}
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path


def train(*words: str, runs: Path) -> int:
    return main(["train", *words, "--set", f"runs_dir={runs}"])


def refusal(words: List[str], capsys: pytest.CaptureFixture) -> str:
    """The one line that bad input gets; nothing else, no traceback."""
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("ipu_app: error: ") and error.count("\n") == 1 and "Traceback" not in error
    return error


@pytest.mark.parametrize("device, backend", [("ipu", "simulator"), ("cpu", "cpu")])
def test_train_leaves_a_whole_run(tiny: Path, tmp_path: Path, device: str, backend: str) -> None:
    assert train("--config", str(tiny), "--device", device, "--name", "first", runs=tmp_path / "runs") == 0
    run = tmp_path / "runs" / "first"
    summary = json.loads((run / "summary.json").read_text())
    assert summary["backend"] == backend and summary["device"] == device
    assert (summary["model"], summary["group_size"], summary["norm"]) == ("cifar", 16, "ln_pn")
    assert summary["epochs"] == 2 and summary["steps"] == 4
    assert 0 <= summary["val_top1"] <= 1 and summary["val_images"] == 20
    assert summary["images_per_s"] > 0 and "measured" in summary["images_per_s_is"]
    assert "digits" in summary["dataset"]
    rows = read_rows(run / "metrics.jsonl")
    assert [row["kind"] for row in rows] == ["train", "train", "val"] * 2
    with Image.open(run / "curves.png") as picture:
        assert picture.size[0] > 600
    assert [path.name for path in find_checkpoints(run / "checkpoints")] == ["epoch-0001", "epoch-0002"]
    assert not list(run.rglob("*.part"))


@pytest.mark.parametrize("device", ["ipu", "cpu"])
def test_a_resumed_run_ends_like_one_that_was_not_interrupted(
    tiny: Path, tmp_path: Path, device: str
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    words = ("--config", str(tiny), "--device", device, "--name", "run", "--set", "model.drop_connect=0")
    assert train(*words, runs=whole) == 0
    assert train(*words, runs=parts) == 0
    newest = find_checkpoints(parts / "run" / "checkpoints")[-1]
    for file in newest.iterdir():
        file.unlink()
    newest.rmdir()  # as if the run had been killed in its second epoch
    assert main(["train", "--resume", str(parts / "run"), "--device", device]) == 0
    first = json.loads((whole / "run" / "summary.json").read_text())
    second = json.loads((parts / "run" / "summary.json").read_text())
    assert first["val_loss"] == pytest.approx(second["val_loss"], abs=1e-6)
    steps = [row["step"] for row in read_rows(parts / "run" / "metrics.jsonl")]
    assert steps == sorted(steps) and len(steps) == 6


def test_validate_finds_what_training_found(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert train("--config", str(tiny), "--device", "cpu", "--name", "run", runs=tmp_path) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    capsys.readouterr()
    assert main(["validate", str(tmp_path / "run"), "--device", "cpu", "--res", "32", "64", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["resolution"] for row in found] == [32, 64]
    assert found[0]["top1"] == summary["val_top1"] and found[0]["samples"] == 20
    assert found[0]["loss"] == pytest.approx(summary["val_loss"], abs=1e-6)
    assert main(["validate", str(tmp_path / "run"), "--device", "ipu", "--json"]) == 0
    simulated = json.loads(capsys.readouterr().out)
    assert simulated[0]["top1"] == summary["val_top1"]
    assert simulated[0]["loss"] == pytest.approx(summary["val_loss"], abs=1e-5)


def test_a_phase_can_start_from_another_run(tiny: Path, tmp_path: Path) -> None:
    assert train("--config", str(tiny), "--device", "cpu", "--name", "run", runs=tmp_path) == 0
    words = ["--from", str(tmp_path / "run"), "--phase", "train", "--device", "cpu", "--name", "next"]
    assert train(*words, "--epochs", "1", runs=tmp_path) == 0
    before = read_rows(tmp_path / "run" / "metrics.jsonl")
    after = read_rows(tmp_path / "next" / "metrics.jsonl")
    assert after[0]["loss"] < before[0]["loss"]  # it did not start from random weights


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["b0-g16-ln_pn-half", "b1-g1-gn-native", "b4-g16-gn-native"])
def test_recipes_run_in_miniature_on_the_simulator(recipe: str, tmp_path: Path) -> None:
    assert train("--run", recipe, "--smoke", "--device", "ipu", "--name", "smoke", runs=tmp_path) == 0
    summary = json.loads((tmp_path / "smoke" / "summary.json").read_text())
    assert summary["backend"] == "simulator" and summary["val_top1"] is not None


def make_folder(root: Path, splits: Tuple[str, ...]) -> Path:
    for split in splits:
        for name in ("cat", "dog"):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(6):
                shade = 40 * number + (10 if name == "cat" else 0)
                Image.new("RGB", (60, 50), (shade, 255 - shade, 90)).save(folder / f"{number}.jpg")
    return root


def test_a_corrupt_image_is_skipped_counted_and_reported(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    data = make_folder(tmp_path / "images", ("train", "val"))
    broken = data / "train" / "cat" / "0.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    words = ["--config", str(tiny), "--data", str(data), "--device", "cpu", "--epochs", "1"]
    words += ["--set", "phases.train.batch.micro=1", "--set", "phases.train.batch.torch_micro=4"]
    assert train(*words, "--set", "data.workers=1", runs=tmp_path) == 0
    assert "1 unreadable image skipped" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words, said",
    [
        (["--model", "b9"], "model='b9': choose one of b0"),
        (["--group", "7"], "group"),
        (["--norm", "batch"], "model.norm='batch'"),
        (["--set", "model.nmae=1"], "model.nmae: unknown key"),
        (["--data", "/nowhere/at/all"], "/nowhere/at/all"),
        (["--set", "phases.train.batch.accumulation=2"], "needs 3 or more"),
        (["--device", "cpu", "--set", "phases.train.batch.torch_micro=5"], "batch.torch_micro to a divisor"),
        (["--set", "phases.train.batch.micro=1000"], "only 4000"),
        (["--set", "phases.train.pipeline.splits=[block9z]"], "block9z"),
        (["--device", "tpu"], "device.kind='tpu'"),
        (["--device", "cuda"], "no CUDA device"),
        (["--poptorch", "sdk"], "PopTorch is not installed"),
        (["--ipus", "3"], "must be a power of two"),
        (["--res", "8"], "must be 32 or more"),
        (["--run", "b2-g16-lnpn-half"], "b2-g16-ln_pn-half"),
        (["--config", "/nowhere.yaml"], "/nowhere.yaml: no such file"),
        (["--resume", "/nowhere"], "config.yaml"),
        (["--plan", "/nowhere.json"], "nowhere.json"),
        (["--phase", "tune"], "phase='tune': this run has train"),
        (["--reset-head"], "no effect without --init"),
        (["--epochs", "0"], "must be 1 or more"),
    ],
)
def test_bad_input_is_one_line(
    words: List[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    if words == ["--device", "cuda"] and torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    if words == ["--poptorch", "sdk"] and importlib.util.find_spec("poptorch"):
        pytest.skip("PopTorch is installed here")
    assert said in refusal(["train", *words, "--set", f"runs_dir={tmp_path / 'runs'}"], capsys)
    assert not (tmp_path / "runs").exists(), "a refused run leaves nothing behind"


def test_data_without_train_is_refused_by_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    data = make_folder(tmp_path / "images", ("val",))
    assert "train" in refusal(["train", "--data", str(data), "--device", "cpu"], capsys)


def test_demo_configuration_is_what_make_train_ipu_trains() -> None:
    text = (CONFIGS / "demo.yaml").read_text()
    assert "block4a" in text and "replicas: 2" in text


def test_doctor_says_what_auto_would_choose(capsys: pytest.CaptureFixture) -> None:
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["device auto"].split()[0] in ("cpu", "cuda", "ipu")
    assert {"torch", "poptorch", "horovod", "wandb"} <= set(found)
