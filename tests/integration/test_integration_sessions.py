"""A phase made ready divides what the host has; a run is settled before, and says so."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, List

import pytest
from integration_images import make_images
from integration_sessions import open_session

from ipu_app.__main__ import main
from ipu_app.config.load import load_config
from ipu_app.config.schema import PhaseConfig, RunConfig
from ipu_app.runs import job


@pytest.mark.parametrize("device", ["cpu", "ipu"])
def test_a_session_divides_the_host(device: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    settings = ["model.name=cifar", "phases.train.resolution=32", "phases.train.batch.micro=4"]
    config = load_config(None, [*settings, f"data.source={make_images(tmp_path / 'images')}"])
    launched = {
        "RANK": "0",
        "WORLD_SIZE": "4",
        "LOCAL_RANK": "0",
        "LOCAL_WORLD_SIZE": "4",
        "HOME": str(tmp_path),
    }
    session = open_session(config, "train", device, environ=launched)
    assert session.runtime.num_workers(train=True) == 4
    assert session.val_loader.num_workers == session.runtime.num_workers(train=False) == 2
    session.runtime.close()


DEMO = ["--device", "cpu", "--set", "data.limit_train=60", "--set", "data.limit_val=10", "--epochs", "1"]


def test_a_dry_run_says_what_the_run_says_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And what the configuration is printed as is what the run keeps."""
    monkeypatch.chdir(tmp_path)
    assert main(["train", *DEMO, "--dry-run"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert not list(tmp_path.iterdir()) and said[-1].startswith("dry run: nothing was computed")
    assert any("60 images are few" in line for line in said)
    assert any(line.startswith("phase train: 1 epoch at 32 px in steps of ") for line in said)
    assert main(["train", *DEMO, "--print-config"]) == 0
    Path("printed.yaml").write_text(capsys.readouterr().out)
    assert main(["train", *DEMO, "--name", "demo"]) == 0
    assert load_config(Path("printed.yaml")) == replace(load_config(Path("runs/demo/config.yaml")), name="")
    ran = capsys.readouterr().out.splitlines()
    ends = ("phase ", "dry run: ")
    kept = [line for line in said if not line.startswith(ends)]
    assert ran[: len(kept)] == kept


def test_nobody_changes_a_configuration_after_it_was_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is made from then on, whatever the phases, the evaluation and the records do."""
    seen: List[str] = []
    settle = job.settle_with_images

    def settled(*words: Any) -> Any:
        found = settle(*words)
        seen.append("settled")
        return found

    monkeypatch.setattr(job, "settle_with_images", settled)
    for section in (RunConfig, PhaseConfig):
        check = section.__post_init__
        monkeypatch.setattr(
            section, "__post_init__", lambda self, check=check: (seen.append("made"), check(self))[1]
        )
    words = [*DEMO, "--set", "evaluate.resolutions=[32,64]", "--set", f"runs_dir={tmp_path}"]
    assert main(["train", *words]) == 0
    assert "made" in seen and seen[-1] == "settled" and seen.count("settled") == 1
