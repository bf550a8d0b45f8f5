"""Files of a run: who may read them, pictures that fit a narrow page, and what the report says."""

from __future__ import annotations

import html
import io
import os
import re
import stat
from pathlib import Path
from typing import Any, Dict, Iterator

import pytest
import torch
from PIL import Image

from ipu_app.training.checkpoint import save_checkpoint, save_tensors
from ipu_app.training.plots import curve_panels
from ipu_app.training.run_report import describe_start, write_report
from ipu_app.training.rundir import RunDir, write_json


@pytest.fixture(params=[0o022, 0o027])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    old = os.umask(request.param)
    yield request.param
    os.umask(old)


def test_others_may_read_checkpoints_as_the_umask_allows(umask: int, tmp_path: Path) -> None:
    weights = {"w": torch.ones(2)}
    folder = save_checkpoint(tmp_path, 1, weights=weights, averaged=weights, state={"a": torch.ones(1)})
    save_tensors(weights, tmp_path / "model.safetensors")
    files = [*folder.iterdir(), tmp_path / "model.safetensors"]
    assert len(files) == 6
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o666 & ~umask}


def train_row(epoch: float, loss: float) -> Dict[str, Any]:
    return {"kind": "train", "epoch": epoch, "step": 1, "loss": loss, "accuracy": 0.5, "lr": 0.1}


def test_each_curve_is_a_picture_of_its_own() -> None:
    rows = [train_row(0.5, 2.0), train_row(1.0, 1.0)]
    pictures = curve_panels([*rows, {"kind": "val", "epoch": 1, "loss": 1.5, "top1": 0.5}])
    assert len(pictures) == 3 and curve_panels([]) == {}
    for data in pictures.values():
        with Image.open(io.BytesIO(data)) as picture:
            assert 0.6 < picture.height / picture.width < 0.9


SUMMARY: Dict[str, Any] = {
    "model_is": "EfficientNet",
    "description": "CPU",
    "dataset": "digits",
    "epochs": 3,
    "steps": 8,
    "val_top1": None,
    "global_batch": 32,
    "resolution": 32,
    "phases": {
        "train": {"epochs": 2, "resolution": 32, "global_batch": 32},
        "finetune": {"epochs": 1, "resolution": 48, "global_batch": 16},
    },
    "start": {"kind": "scratch"},
    "images_per_s": 62.5,
    "images_per_s_of": {"train": 62.5, "finetune": 34.25},
    "images_per_s_is": "measured on this cpu",
    "estimate": {"images_per_s": 4500.0, "platform": "mk2", "error_pct": 12.0, "text": "a plan"},
    "evaluations": [
        {"resolution": px, "top1": px / 100, "top5": 1.0, "loss": 1.0, "samples": 4} for px in (32, 48, 64)
    ],
}


def report(summary: Dict[str, Any], folder: Path) -> str:
    run_dir = RunDir(folder)
    write_json(run_dir.summary, summary)
    run_dir.config.write_text("seed: 0\n")
    write_report(run_dir)
    text = html.unescape(run_dir.report.read_text(encoding="utf-8"))
    return re.sub(r"<[^>]*>", "|", text)


def test_the_report_tells_phases_apart(tmp_path: Path) -> None:
    text = report(SUMMARY, tmp_path)
    assert "8 steps of 32 and 16 images" in text
    assert "images/s in train, measured on this cpu" in text and "images/s in finetune" in text
    assert "train: 32 px, steps of 32 images||62.5" in text
    assert "finetune: 48 px, steps of 16 images||34.2" in text
    assert "the plan in train on IPUs||4500" in text
    assert "start: random weights" in text


def test_other_resolutions_are_others(tmp_path: Path) -> None:
    text = report(SUMMARY, tmp_path)
    assert "|32 px|" in text and "|64 px|" in text and "|48 px|" not in text
    only_own = {**SUMMARY, "evaluations": SUMMARY["evaluations"][1:2]}
    assert "Other resolutions" not in report(only_own, tmp_path)


def test_a_start_in_words() -> None:
    file = {"kind": "init", "path": "b0.pth", "sha256": "0123456789abcdef"}
    assert describe_start(file) == "start: weights of the file b0.pth (SHA-256 0123456789ab)"
    run = {"kind": "from", "path": "runs/a", "run": "a", "checkpoint": "epoch-0007", "epoch": 7}
    run.update(weights="averaged weights of epoch-0007", sha256="0123456789abcdef", resumed="epoch-0002")
    assert describe_start(run).endswith("(SHA-256 0123456789ab); resumed from epoch-0002")
    assert "averaged weights of epoch-0007 of the run a (runs/a), trained for 7 epochs" in describe_start(run)
