"""Progressive phases: stages of equal settings are one phase; a run that ended in one goes on bit for bit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Dict, List

import pytest
import torch
from safetensors.torch import load_file

from ipu_app.__main__ import main

CONFIG = """
model: {name: cifar, group_size: 16, norm: gn, dropout: 0.2, drop_connect: 0.2}
data: {source: "generated:4", limit_train: 16, limit_val: 4}
keep_checkpoints: 9
tracking: {logs_per_epoch: 1}
phases:
  train:
    epochs: 3
    resolution: 32
    averaging: 0.9
    averaging_per: PER
    batch: {micro: 4, accumulation: 2, replicas: 2, torch_micro: 8, eval_micro: 4}
    optimizer: {kind: adamw, lr: 0.001, eps: 1.0e-6, weight_decay: 0.01, loss_scale: 1}
    schedule: {kind: cosine, warmup_epochs: 0.5}
    augment: {mixing: v2, mixup_alpha: 0.2, cutmix_alpha: 0.2, randaugment: {magnitude: 2}}
    pipeline: {precision: 32.32}
"""
PROGRESSIVE = "phases.train.progressive."
EQUAL = {
    "rule": "paper",
    "stages": "3",
    "resolution": "[32,32]",
    "dropout": "[0.2,0.2]",
    "mixup_alpha": "[0.2,0.2]",
    "cutmix_alpha": "[0.2,0.2]",
    "randaugment": "[2,2]",
}
GROWING = {
    "rule": "paper",
    "stages": "3",
    "resolution": "[32,48]",
    "randaugment": "[1,2]",
    "dropout": "[0.1,0.2]",
}


def train(folder: Path, name: str, device: str, stages: Dict[str, str], *, per: str = "epoch") -> Path:
    """Train the small run; returns its folder."""
    path = folder / "config.yaml"
    path.write_text(CONFIG.replace("PER", per))
    settings = [f"runs_dir={folder / 'runs'}", f"name={name}"]
    settings += [f"{PROGRESSIVE}{key}={value}" for key, value in stages.items()]
    arguments = ["train", "--config", str(path), "--device", device]
    assert main([*arguments, *(word for item in settings for word in ("--set", item))]) == 0
    return folder / "runs" / name


def checkpoints(run: Path) -> List[Path]:
    return sorted(path for path in (run / "checkpoints").iterdir() if path.is_dir())


def rows(run: Path, kind: str) -> List[Dict[str, Any]]:
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [row for row in map(json.loads, lines) if row["kind"] == kind]


def assert_same_end(one: Path, other: Path) -> None:
    for name in ("weights", "averaged"):
        ends = [load_file(str(checkpoints(run)[-1] / f"{name}.safetensors")) for run in (one, other)]
        assert ends[0].keys() == ends[1].keys()
        assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0]), name


@pytest.mark.parametrize("device", ["cpu", "ipu"])
def test_stages_of_equal_settings_are_one_phase_bit_for_bit(device: str, tmp_path: Path) -> None:
    one = train(tmp_path, "one", device, {})
    three = train(tmp_path, "three", device, EQUAL)
    assert_same_end(one, three)
    losses = [[row["loss"] for row in rows(run, "train")] for run in (one, three)]
    rates = [[row["lr"] for row in rows(run, "train")] for run in (one, three)]
    assert losses[0] == losses[1] and rates[0] == rates[1]


@pytest.mark.parametrize("device, per", [("cpu", "update"), ("ipu", "update")])
def test_a_run_that_ended_in_its_second_stage_goes_on_bit_for_bit(
    device: str, per: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = train(tmp_path, "whole", device, {**GROWING, "stages": "2"}, per=per)
    assert [row["resolution"] for row in rows(whole, "val")] == [32, 48, 48]
    ended = whole.parent / "ended"
    shutil.copytree(whole, ended)
    shutil.rmtree(checkpoints(ended)[-1])  # of three epochs two were done, the second in the second stage
    capsys.readouterr()
    assert main(["train", "--resume", str(ended)]) == 0
    assert "48 px" in capsys.readouterr().out
    assert_same_end(whole, ended)


def test_batch_factors_of_stages_make_the_same_steps(tmp_path: Path) -> None:
    run = train(tmp_path, "run", "ipu", {**GROWING, "micro": "[8, 8, 4]", "replicas": "[1, 2, 1]"})
    assert [row["step"] for row in rows(run, "val")] == [1, 2, 3]
    assert [row["resolution"] for row in rows(run, "val")] == [32, 40, 48]


def test_a_dry_run_says_the_stages_and_what_they_do_to_padding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG.replace("PER", "epoch"))
    sets = [word for key, value in GROWING.items() for word in ("--set", f"{PROGRESSIVE}{key}={value}")]
    sets += ["--set", "model.name=b0"]
    assert main(["train", "--config", str(path), "--device", "cpu", "--dry-run", *sets]) == 0
    printed = capsys.readouterr().out
    assert "stage 2/3: epochs 2 to 2 at 40 px, RandAugment 1.5, mixup 0.1" in printed
    assert "warning: sizes 32, 40, 48 of the stages" in printed and "progressive.align=eval takes" in printed
    refused = ["--set", f"{PROGRESSIVE}rule=paper", "--set", "phases.train.epochs=2"]
    assert main(["train", "--config", str(path), "--device", "cpu", "--dry-run", *refused]) == 2
    assert "must be at least progressive.stages=4" in capsys.readouterr().err
