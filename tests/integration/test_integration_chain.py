"""From a tree of image files to an exported network, by the command line alone, as a user would."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, NamedTuple

import numpy as np
import pytest
import torch
from integration_images import make_tree
from safetensors.torch import load_file

from ipu_app import compat
from ipu_app.config.load import load_config
from ipu_app.inference.trained import load_trained
from ipu_app.training.checkpoint import find_checkpoints, load_weights

ROOT = Path(__file__).resolve().parents[2]
NUM_CLASSES, TRAIN_IMAGES, VAL_IMAGES = 1000, 2, 1
CLASSES = [f"n{label:08d}" for label in range(NUM_CLASSES)]
pytestmark = [pytest.mark.slow, pytest.mark.processes]


class Place(NamedTuple):
    """Where a chain runs: the device, its images to validate with, and steps of 32 images in its epoch."""

    device: str
    backend: str
    val_images: int
    steps: int


PLACES = (Place("cpu", "cpu", 210, 8), Place("ipu", "simulator", 42, 3))


class Data(NamedTuple):
    tree: Path
    shards: Path


def command(*words: str, cwd: Path) -> str:
    """Run the application in a folder, as a process of its own; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "ipu_app", *words],
        cwd=str(cwd),
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def settings(**values: Any) -> List[str]:
    return [word for key, value in values.items() for word in ("--set", f"{key.replace('__', '.')}={value}")]


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    root = tmp_path_factory.mktemp("chain of commands") / "image net"
    tree = make_tree(root / "tree", CLASSES, train=TRAIN_IMAGES, val=VAL_IMAGES)
    said = command("shards", "tree", "tar shards", "--samples-per-shard", "800", cwd=root)
    assert "train: 2000 images in 3 shards" in said and "val: 1000 images in 2 shards" in said
    shards = root / "tar shards"
    assert len(list(shards.glob("*.tar"))) == 5
    return Data(tree, shards)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.device)
def test_the_whole_chain(data: Data, place: Place, tmp_path: Path) -> None:
    train(data, place, tmp_path)
    fine_tune(data, place, tmp_path)
    validate(place, tmp_path)
    predict(data, place, tmp_path)
    export(tmp_path, with_onnx=place.device == "cpu")


def train(data: Data, place: Place, folder: Path) -> None:
    """One short epoch of a published run: its network, its norm, its phase, at other sizes."""
    words = [
        "train",
        "--run",
        "b0-g16-ln_pn-half",
        "--phase",
        "train",
        "--device",
        place.device,
        "--name",
        "half",
    ]
    words += ["--data", str(data.shards), "--epochs", "1", "--res", "32"]
    words += settings(
        data__workers=0,
        data__limit_train=32 * place.steps,
        data__limit_val=place.val_images,
        evaluate__resolutions="[]",
        phases__train__batch__micro=8,
        phases__train__batch__accumulation=4,
        phases__train__batch__replicas=1,
        **({} if place.device == "ipu" else {"phases__train__batch__torch_micro": 32}),
    )
    said = command(*words, cwd=folder)
    run = folder / "runs" / "half"
    assert "1000 classes" in said and "written: runs/half" in said
    summary = read_json(run / "summary.json")
    assert (summary["backend"], summary["model"], summary["norm"]) == (place.backend, "b0", "ln_pn")
    assert summary["resolution"] == 32 and summary["steps"] == place.steps
    assert summary["val_images"] == place.val_images and np.isfinite(summary["val_loss"])
    assert read_json(run / "model.json")["classes"] == CLASSES
    for name in ("report.html", "curves.png", "config.yaml", "metrics.jsonl"):
        assert (run / name).stat().st_size > 0


def fine_tune(data: Data, place: Place, folder: Path) -> None:
    """The paper's phase: only Top learns, from the averaged weights, at another resolution."""
    words = [
        "train",
        "--from",
        "runs/half",
        "--phase",
        "finetune",
        "--device",
        place.device,
        "--name",
        "tuned",
    ]
    words += ["--epochs", "1", "--res", "64"]
    batch = {
        f"phases__finetune__batch__{key}": value for key, value in (("accumulation", 4), ("replicas", 2))
    }
    if place.device != "ipu":
        batch["phases__finetune__batch__torch_micro"] = 16
    words += settings(data__limit_train=48, **batch)
    said = command(*words, cwd=folder)
    run = folder / "runs" / "tuned"
    assert "start: weights of epoch-0001 of runs/half" in said
    (phase,) = load_config(run / "config.yaml").phases.values()
    assert (phase.resolution, phase.trainable, phase.augment.preprocessing) == (64, "Top", "eval")
    assert read_json(run / "summary.json")["steps"] == 3
    before = load_weights(find_checkpoints(folder / "runs" / "half" / "checkpoints")[-1], averaged=True)
    after = load_weights(find_checkpoints(run / "checkpoints")[-1], averaged=False)
    changed = {name for name in before if not before[name].equal(after[name])}
    assert changed and all(name.startswith("blocks.Top.") for name in changed)


def validate(place: Place, folder: Path) -> None:
    words = ["validate", "runs/tuned", "--device", place.device, "--res", "32", "64", "96", "--json"]
    rows: List[Dict[str, Any]] = json.loads(command(*words, cwd=folder))
    summary = read_json(folder / "runs" / "tuned" / "summary.json")
    assert [row["resolution"] for row in rows] == [32, 64, 96]
    for row in rows:
        assert row["samples"] == place.val_images == len(row["classes"])
        assert 0 <= row["top1"] <= row["top5"] <= 1 and np.isfinite(row["loss"])
        assert row["top1"] == pytest.approx(np.mean(list(row["classes"].values())))
    assert rows[1]["top1"] == summary["val_top1"]
    assert rows[1]["loss"] == pytest.approx(summary["val_loss"], abs=1e-5)


def predict(data: Data, place: Place, folder: Path) -> None:
    folders = [str(data.tree / "val" / name) for name in CLASSES[:3]]
    rows = json.loads(
        command("predict", "runs/tuned", *folders, "--device", place.device, "--json", cwd=folder)
    )
    assert len(rows) == 3 * VAL_IMAGES
    for row in rows:
        shares = [entry["probability"] for entry in row["top"]]
        assert len(shares) == 5 and shares == sorted(shares, reverse=True) and 0 < sum(shares) <= 1
        assert {entry["class"] for entry in row["top"]} < set(CLASSES)


def export(folder: Path, *, with_onnx: bool) -> None:
    """What is exported computes what the run's network computes."""
    with_onnx = with_onnx and all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime"))
    formats = ["safetensors", "torchscript", *(["onnx"] if with_onnx else [])]
    command("export", "runs/tuned", "out", "--format", *formats, cwd=folder)
    trained, out = load_trained(folder / "runs" / "tuned"), folder / "out"
    weights = load_file(str(out / "model.safetensors"))
    assert all(weights[name].equal(value) for name, value in trained.weights.items())
    described = read_json(out / "model.json")
    assert described["input"]["shape"] == ["batch", 3, 64, 64]
    images = torch.randint(
        0, 256, (3, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    with torch.no_grad():
        expected = trained.logits_graph()(images)
        found = compat.load_script(str(out / "model.torchscript.pt"))(images)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    if with_onnx:
        import onnxruntime

        session = onnxruntime.InferenceSession(str(out / "model.onnx"), providers=["CPUExecutionProvider"])
        (logits,) = session.run(None, {"images": images.numpy()})
        np.testing.assert_allclose(logits, expected.numpy(), rtol=1e-4, atol=1e-4)
