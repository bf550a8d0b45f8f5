"""What a run leaves behind is true: its start, its calls, its last validation, and that it diverged."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
from integration_images import ImagesRun
from integration_sessions import open_session

from ipu_app import build
from ipu_app.__main__ import main
from ipu_app.config.load import load_config
from ipu_app.distributed.comm import SingleComm
from ipu_app.ipumodel.device import collectives
from ipu_app.training.checkpoint import find_checkpoints
from ipu_app.training.sinks import read_rows

TWO_EPOCHS = """
model: {name: cifar, group_size: 16, norm: ln_pn}
data: {limit_train: 64, limit_val: 12}
tracking: {logs_per_epoch: 2}
phases:
  train:
    epochs: 2
    resolution: 32
    averaging: 0.5
    batch: {micro: 4, accumulation: 4, replicas: 2, torch_micro: 16}
    optimizer: {kind: adamw, lr: 0.002, eps: 1.0e-6, loss_scale: 1}
    schedule: {kind: cosine, warmup_epochs: 0}
    augment: {mixup_alpha: 0.2}
    pipeline: {splits: [block3a], precision: 32.32}
"""


class TwoInstances(SingleComm):
    """The first of two processes, for what asks only how many there are."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 2


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("records") / "two.yaml"
    path.write_text(TWO_EPOCHS)
    return path


@pytest.fixture(scope="module")
def run(config: Path) -> Path:
    assert train("--config", str(config), "--name", "run", runs=config.parent) == 0
    return config.parent / "run"


def train(*words: str, runs: Path) -> int:
    return main(["train", *words, "--device", "cpu", "--set", f"runs_dir={runs}"])


def read(path: Path) -> Dict[str, Any]:
    found: Dict[str, Any] = json.loads(path.read_text())
    return found


def starts(run: Path) -> List[Dict[str, Any]]:
    """What each record says of the start; that it is the same is for the tests to see."""
    return [read(run / name)["start"] for name in ("summary.json", "model.json")]


@pytest.fixture
def plugged() -> Iterator[None]:
    yield
    collectives.set_all_reduce(None)


@pytest.mark.usefixtures("plugged")
@pytest.mark.parametrize("workers", [0, 1])
def test_an_epoch_has_the_calls_of_one_of_two_instances(config: Path, workers: int) -> None:
    """PopTorch's asynchronous loader counts the calls that one instance alone would make."""
    settings = load_config(config, ["device.poptorch=sim", f"data.workers={workers}"])
    session = open_session(settings, "train", "ipu", comm=TwoInstances())
    try:
        assert session.calls_per_epoch == sum(1 for _ in session.train_loader) == 2
    finally:
        session.runtime.close()


def test_images_for_trackers_are_those_trained_on_first(config: Path) -> None:
    settings = load_config(
        config,
        [
            "phases.train.augment.mixup_alpha=0",
            "phases.train.batch.micro=16",
            "phases.train.batch.replicas=1",
        ],
    )
    phase = settings.phases["train"]
    session = open_session(settings, "train", "cpu")
    images, labels = next(iter(session.train_loader))[:2]
    assert build.mixed_samples(session, phase).equal(images[:16])
    assert len(set(labels[:16].tolist())) > 3


def test_a_run_from_scratch_says_so(run: Path) -> None:
    assert starts(run) == [{"kind": "scratch"}] * 2
    assert "start: random weights" in (run / "report.html").read_text(encoding="utf-8")


def test_a_run_from_another_names_it_also_when_resumed(run: Path, tmp_path: Path) -> None:
    words = ["--from", str(run), "--phase", "train", "--name", "next", "--epochs", "1"]
    assert train(*words, runs=tmp_path) == 0
    averaged = run / "checkpoints" / "epoch-0002" / "averaged.safetensors"
    expected = {
        "kind": "from",
        "path": str(run),
        "run": "run",
        "checkpoint": "epoch-0002",
        "epoch": 2,
        "weights": "averaged weights of epoch-0002",
        "sha256": hashlib.sha256(averaged.read_bytes()).hexdigest(),
    }
    assert starts(tmp_path / "next") == [expected] * 2
    words = ["train", "--resume", str(tmp_path / "next"), "--device", "cpu", "--set", "phases.train.epochs=2"]
    assert main(words) == 0
    assert starts(tmp_path / "next") == [{**expected, "resumed": "epoch-0001"}] * 2
    report = (tmp_path / "next" / "report.html").read_text(encoding="utf-8")
    assert "averaged weights of epoch-0002 of the run run" in report and "resumed from epoch-0001" in report


def test_a_run_from_a_file_names_it(images_run: ImagesRun, tmp_path: Path) -> None:
    assert main(["export", str(images_run.path), str(tmp_path / "out")]) == 0
    file = tmp_path / "out" / "model.safetensors"
    words = ["train", "--init", str(file), "--smoke", "--device", "cpu", "--name", "next", "--config"]
    words += [str(images_run.config), "--data", str(images_run.data), "--set", f"runs_dir={tmp_path}"]
    assert main(words) == 0
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert starts(tmp_path / "next") == [{"kind": "init", "path": str(file), "sha256": digest}] * 2


def test_a_run_stopped_before_its_last_validation_makes_up_for_it(
    run: Path, tmp_path: Path, config: Path
) -> None:
    """As if memory had run out there: the epoch is saved, its row and all that follows are missing."""
    assert train("--config", str(config), "--name", "cut", runs=tmp_path) == 0
    cut = tmp_path / "cut"
    rows = read_rows(cut / "metrics.jsonl")
    assert rows[-1]["kind"] == "val"
    (cut / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:-1]))
    (cut / "summary.json").unlink()
    assert main(["train", "--resume", str(cut), "--device", "cpu"]) == 0
    made_up = read_rows(cut / "metrics.jsonl")
    assert [row["step"] for row in made_up] == [row["step"] for row in rows]
    assert made_up[-1]["top1"] == rows[-1]["top1"]
    assert read(cut / "summary.json")["val_loss"] == pytest.approx(rows[-1]["loss"], abs=1e-6)
    assert main(["train", "--resume", str(cut), "--device", "cpu"]) == 2  # now there is nothing left to do


def test_a_run_that_diverges_ends_with_one_line(
    run: Path, tmp_path: Path, config: Path, capsys: pytest.CaptureFixture
) -> None:
    """A learning rate like this one leaves nothing but numbers that are none."""
    words = ["--config", str(config), "--name", "wild", "--set", "phases.train.optimizer.lr=1e30"]
    assert train(*words, "--epochs", "3", runs=tmp_path) == 1
    error = capsys.readouterr().err
    assert error.startswith("ipu_app: error: phases.train: ") and error.count("\n") == 1
    assert "in epoch" in error and "lower phases.train.optimizer.lr" in error
    for folder in find_checkpoints(tmp_path / "wild" / "checkpoints"):
        assert folder.name == "epoch-0001", "what is kept is from before"
