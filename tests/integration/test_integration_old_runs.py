"""What an earlier version left is still read: its runs validate, resume and export to the same figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict

import pytest
import yaml
from integration_old_runs import FOLDER, unpack
from safetensors.torch import load_file

from ipu_app.__main__ import main
from ipu_app.models.spec import EfficientNetSpec

FIGURES: Dict[str, Any] = json.loads((FOLDER / "figures.json").read_text(encoding="utf-8"))
RUNS = sorted(FIGURES)


@pytest.fixture(params=RUNS)
def run(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return unpack(request.param, tmp_path / "runs")


def test_an_old_run_validates_to_the_same_figures(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(run), "--res", "32", "64", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found) == 2
    for row, expected in zip(found, map(dict, FIGURES[run.name]["validate"])):
        assert row["loss"] == pytest.approx(expected.pop("loss"), rel=1e-5)
        assert {key: row[key] for key in expected} == expected


def test_an_old_run_resumes_to_the_same_figures(run: Path) -> None:
    expected = dict(FIGURES[run.name]["resume"])
    before = yaml.safe_load((run / "config.yaml").read_text())
    assert main(["train", "--resume", str(run), "--epochs", "3"]) == 0
    summary = json.loads((run / "summary.json").read_text())
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if row["kind"] == "train"]
    assert len(losses) == 3 and losses[-1] == pytest.approx(expected.pop("train_loss"), rel=1e-4)
    assert summary["val_loss"] == pytest.approx(expected.pop("val_loss"), rel=1e-4)
    assert {key: summary[key] for key in expected} == expected
    assert yaml.safe_load((run / "config.epoch-0002.yaml").read_text()) == before
    now = yaml.safe_load((run / "config.yaml").read_text())
    assert now["phases"]["train"]["epochs"] == 3
    assert {key: now["model"][key] for key in before["model"]} == before["model"]


def test_an_old_run_is_exported_as_it_is(run: Path) -> None:
    assert main(["export", str(run), "out"]) == 0
    own = load_file(str(run / "checkpoints" / "epoch-0002" / "averaged.safetensors"))
    exported = load_file("out/model.safetensors")
    assert sorted(exported) == sorted(own)
    assert all(exported[name].equal(tensor) for name, tensor in own.items())
    old = json.loads((run / "model.json").read_text())
    new = json.loads(Path("out/model.json").read_text())
    assert {key: new[key] for key in ("format", "classes", "resolution", "normalise", "whole_images")} == {
        key: old[key] for key in ("format", "classes", "resolution", "normalise", "whole_images")
    }
    assert EfficientNetSpec.from_dict(old["spec"]) == EfficientNetSpec.from_dict(new["spec"])
    assert {key for key in old["spec"] if old["spec"][key] != new["spec"][key]} <= {"sections"}


def test_an_old_plan_is_trained_by(capsys: pytest.CaptureFixture[str]) -> None:
    path = FOLDER / "plan-b4.json"
    plan = json.loads(path.read_text())
    assert main(["train", "--plan", str(path), "--device", "ipu", "--poptorch", "sim", "--print-config"]) == 0
    config = yaml.safe_load(capsys.readouterr().out)
    phase = config["phases"]["train"]
    assert config["model"]["name"] == "b4" and config["model"]["norm"] == "ln_pn"
    assert phase["resolution"] == plan["model"]["resolution"]
    assert phase["pipeline"]["splits"] == plan["estimate"]["splits"]
    batch = {key: phase["batch"][key] for key in ("micro", "accumulation", "replicas")}
    assert batch == {"micro": 6, "accumulation": 64, "replicas": 2}
