"""A run that is stopped at any moment goes on as if it had not been: bits, rows, time; what is said of it."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any, Dict, List

import pytest
import torch

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
    schedule: {{warmup_epochs: 0.5}}
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
