"""A run that is stopped at any moment goes on as if it had not been: bits, rows, time; what is said of it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any, Dict, List

import pytest
import torch
import yaml

from ipu_app.__main__ import main
from ipu_app.training import checkpoint as checkpoints
from ipu_app.training.sinks import JsonlSink, read_rows

CONFIG = """
runs_dir: {folder}
keep_checkpoints: 4
model: {{name: cifar, norm: gn, group_size: 16, dropout: 0.3, drop_connect: 0.2}}
data: {{limit_train: 24, limit_val: 4, workers: {workers}}}
device: {{kind: {kind}}}
tracking: {{logs_per_epoch: 2}}
phases:
  train:
    epochs: 2
    resolution: 32
    averaging: 0.5
    batch: {{micro: 4, torch_micro: 4, eval_micro: 4}}
    optimizer: {{lr: 0.003, loss_scale: 1}}
    schedule: {{warmup_epochs: 2}}
"""
TIMES = ("time_s", "images_per_s")


def write_config(folder: Path, *, kind: str = "cpu", workers: int = 0) -> Path:
    file = folder / "run.yaml"
    file.write_text(CONFIG.format(folder=folder, kind=kind, workers=workers))
    return file


def train(config: Path, name: str, *more: str) -> int:
    return main(["train", "--config", str(config), "--name", name, *more])


def resume(run: Path, *more: str) -> int:
    return main(["train", "--resume", str(run), *more])


def stop_at_row(monkeypatch: pytest.MonkeyPatch, number: int, which: signal.Signals = signal.SIGTERM) -> None:
    """Send this process a signal once it has written so many rows of metrics."""
    write, seen = JsonlSink.row, []  # type: Any, List[int]

    def write_and_stop(self: JsonlSink, row: Any) -> None:
        write(self, row)
        seen.append(1)
        if len(seen) == number:
            signal.raise_signal(which)

    monkeypatch.setattr(JsonlSink, "row", write_and_stop)


def tensors_of(run: Path, epoch: str) -> Dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    folder, found = run / "checkpoints" / epoch, {}
    for name in ("weights", "averaged", "state"):
        for key, value in load_file(str(folder / f"{name}.safetensors")).items():
            found[f"{name}/{key}"] = value
    return found


def rows_of(run: Path) -> List[Dict[str, Any]]:
    return [
        {key: value for key, value in row.items() if key not in TIMES}
        for row in read_rows(run / "metrics.jsonl")
    ]


def check_same(one: Path, two: Path, epoch: str) -> None:
    first, second = tensors_of(one, epoch), tensors_of(two, epoch)
    assert sorted(first) == sorted(second)
    differing = [name for name in first if not torch.equal(first[name], second[name])]
    assert differing == []
    assert rows_of(one) == rows_of(two)


@pytest.mark.parametrize("kind, workers", [("cpu", 1), ("ipu", 0)])
def test_stopped_inside_an_epoch_it_goes_on_bit_for_bit(
    kind: str,
    workers: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = write_config(tmp_path, kind=kind, workers=workers)
    assert train(config, "whole") == 0
    with monkeypatch.context() as patched:
        stop_at_row(patched, 4)  # rows: train, train, val, train: half of the second epoch
        assert train(config, "cut") == 143
    assert "ipu_app: stopped by SIGTERM: all 9 steps are saved" in capsys.readouterr().err
    assert checkpoints.newest_checkpoint(tmp_path / "cut" / "checkpoints").name == "epoch-0001-call-000003"  # type: ignore[union-attr]
    before = read_rows(tmp_path / "cut" / "metrics.jsonl")[-1]["time_s"]
    assert resume(tmp_path / "cut") == 0
    check_same(tmp_path / "whole", tmp_path / "cut", "epoch-0002")
    times = [row["time_s"] for row in read_rows(tmp_path / "cut" / "metrics.jsonl")]
    assert times == sorted(times) and times[-1] > before
    left = [path.name for path in checkpoints.find_checkpoints(tmp_path / "cut" / "checkpoints")]
    assert left == ["epoch-0001", "epoch-0002"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    config = write_config(folder)
    assert train(config, "run", "--epochs", "1", "--set", "evaluate.resolutions=[32, 64]") == 0
    return folder / "run"


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(str(finished), str(tmp_path / "run")))


def test_typed_settings_win_are_kept_and_said(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (run / "config.yaml").read_text()
    words = ["--epochs", "2", "--lr", "0.0003", "--set", "phases.train.optimizer.momentum=0.5"]
    assert resume(run, *words) == 0
    said = capsys.readouterr().out
    assert "changed: phases.train.epochs 1 -> 2\n" in said
    assert "changed: phases.train.optimizer.lr 0.003 -> 0.0003\n" in said
    assert (run / "config.epoch-0001.yaml").read_text() == before
    kept = yaml.safe_load((run / "config.yaml").read_text())["phases"]["train"]
    assert (kept["epochs"], kept["optimizer"]["lr"], kept["optimizer"]["momentum"]) == (2, 0.0003, 0.5)
    rates = [row["lr"] for row in read_rows(run / "metrics.jsonl") if row["kind"] == "train"]
    assert len(rates) == 4 and rates[1] > 0.001 and max(rates[2:]) <= 0.0003
    groups = checkpoints.load_state(run / "checkpoints" / "epoch-0002")["runtime"]["optimizer"][
        "param_groups"
    ]
    assert {group["momentum"] for group in groups} == {0.5}
    assert resume(run) == 2
    assert "all 2 epochs are done" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, named",
    [
        (["--set", "model.norm=ln"], "made with another network (model.norm=ln: it was gn)"),
        (["--name", "other"], "name=other: no effect with --resume"),
        (
            ["--set", "phases.train.optimizer.kind=sgd"],
            "phases.train.optimizer.kind=sgd: the optimiser's state",
        ),
        (["--trainable", "Top"], "phases.train.trainable=Top: the optimiser's state"),
        (["--device", "ipu", "--poptorch", "sim"], "the optimiser's state, which is in torch's form"),
        (["--phase", "train"], "phase: a run that goes on has all its phases"),
    ],
)
def test_what_can_not_take_effect_is_refused_by_name(
    words: List[str], named: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(path.name for path in run.iterdir())
    assert resume(run, "--epochs", "2", *words) == 2
    said = capsys.readouterr().err
    assert named in said and said.count("\n") == 1
    assert sorted(path.name for path in run.iterdir() if path.name != ".lock") == [
        name for name in before if name != ".lock"
    ]


def test_the_optimisers_state_is_left_behind_where_that_is_asked_for(run: Path) -> None:
    words = ["--epochs", "2", "--fresh-optimizer", "--set", "phases.train.optimizer.kind=sgd"]
    assert resume(run, *words) == 0
    state = checkpoints.load_state(run / "checkpoints" / "epoch-0002")["runtime"]["optimizer"]
    assert "nesterov" in state["param_groups"][0]


def test_a_run_killed_in_its_last_evaluations_finishes_them(run: Path) -> None:
    whole = json.loads((run / "summary.json").read_text())
    rows = rows_of(run)
    for name in ("summary.json", "report.html"):
        (run / name).unlink()
    assert resume(run) == 0
    again = json.loads((run / "summary.json").read_text())
    assert again["evaluations"] == whole["evaluations"] and again["worst_classes"] == whole["worst_classes"]
    assert rows_of(run) == rows and (run / "report.html").is_file()


def test_a_report_that_can_not_be_written_leaves_the_results(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "report.html")

    (run / "report.html").unlink()
    with monkeypatch.context() as patched:
        patched.setattr("ipu_app.runs.records.write_report", full)
        assert resume(run) == 1
    told = capsys.readouterr()
    assert "validation top-1" in told.out and "report.html" in told.err and told.err.count("\n") == 1
    assert json.loads((run / "summary.json").read_text())["steps"] == 6
    assert resume(run) == 0 and (run / "report.html").is_file()
