"""Training on several processes: the split of replicas over instances changes nothing; faults end the job."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, List, Sequence

import pytest
from integration_images import make_images
from safetensors.torch import load_file

from ipu_app.training.checkpoint import newest_checkpoint
from ipu_app.training.sinks import read_rows

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.processes

TINY = """
model: {name: cifar, group_size: 16, norm: ln_pn, drop_connect: 0.0}
data: {limit_train: 160, limit_val: 20}
tracking: {logs_per_epoch: 2}
phases:
  train:
    epochs: EPOCHS
    resolution: 32
    averaging: 0.5
    batch: {micro: 2, accumulation: 4, replicas: 4, torch_micro: 8}
    optimizer: {kind: rmsprop_tf, lr: 0.002, loss_scale: 1}
    schedule: {kind: cosine, warmup_epochs: 0.5}
    augment: {mixup_alpha: 0.1}
    pipeline: {splits: [block3a], precision: 32.32}
"""


def write_config(folder: Path, epochs: int) -> Path:
    path = folder / "tiny.yaml"
    path.write_text(TINY.replace("EPOCHS", str(epochs)))
    return path


def environment() -> Dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def start(instances: int, *words: str, device: str, ipus: bool = True) -> "subprocess.Popen[str]":
    launch: List[str] = ["launch", "--instances", str(instances)]
    if ipus:
        launch += ["--replicas", "4", "--ipus-per-replica", "2"]
    train = ["train", *words, "--device", device]
    return start_job(*([*launch, "--", *train] if instances > 1 else train))


def start_job(*words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "ipu_app", *words],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
    )


def finish(job: "subprocess.Popen[str]", timeout_s: float = 150) -> str:
    try:
        output, _ = job.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        job.kill()
        output, _ = job.communicate()
        pytest.fail(f"the job did not end: {output}")
    return output


def train(config: Path, runs: Path, name: str, instances: int, device: str, *more: str) -> Path:
    words = ["--config", str(config), "--name", name, "--set", f"runs_dir={runs}", *more]
    job = start(instances, *words, device=device, ipus=device == "ipu")
    output = finish(job)
    assert job.returncode == 0, output
    return runs / name


def assert_same_run(first: Path, second: Path, tolerance: float) -> None:
    one, two = newest_checkpoint(first / "checkpoints"), newest_checkpoint(second / "checkpoints")
    assert one is not None and two is not None
    expected, found = load_file(str(one / "weights.safetensors")), load_file(str(two / "weights.safetensors"))
    assert expected.keys() == found.keys()
    assert max(float((expected[name] - found[name]).abs().max()) for name in expected) <= tolerance
    for row, other in zip(read_rows(first / "metrics.jsonl"), read_rows(second / "metrics.jsonl")):
        assert row["step"] == other["step"] and row["kind"] == other["kind"]
        assert row["loss"] == pytest.approx(other["loss"], abs=1e-5)
        key = "accuracy" if row["kind"] == "train" else "top1"
        assert row[key] == other[key]


def test_replicas_may_be_split_over_instances_in_any_way(tmp_path: Path) -> None:
    config = write_config(tmp_path, epochs=1)
    runs = {count: train(config, tmp_path / "runs", f"on{count}", count, "ipu") for count in (1, 2, 4)}
    for count in (2, 4):
        summary = json.loads((runs[count] / "summary.json").read_text())
        assert summary["steps"] == 5 and summary["global_batch"] == 32
        assert_same_run(runs[1], runs[count], 1e-6)


def test_cpu_instances_train_like_one(tmp_path: Path) -> None:
    config = write_config(tmp_path, epochs=1)
    runs = {count: train(config, tmp_path / "runs", f"on{count}", count, "cpu") for count in (1, 2)}
    assert_same_run(runs[1], runs[2], 1e-6)


def test_a_checkpoint_resumes_on_another_number_of_instances(tmp_path: Path) -> None:
    whole = train(write_config(tmp_path, epochs=2), tmp_path / "runs", "whole", 1, "ipu")
    parts = train(write_config(tmp_path, epochs=2), tmp_path / "runs", "parts", 2, "ipu")
    newest = newest_checkpoint(parts / "checkpoints")
    assert newest is not None and newest.name == "epoch-0002"
    for file in newest.iterdir():
        file.unlink()
    newest.rmdir()
    job = start(1, "--resume", str(parts), device="ipu")
    output = finish(job)
    assert job.returncode == 0, output
    assert_same_run(whole, parts, 1e-6)


def children_of(pid: int) -> List[int]:
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], stdout=subprocess.PIPE, universal_newlines=True, check=False
    )
    direct = [int(word) for word in listed.stdout.split()]
    return direct + [grandchild for child in direct for grandchild in children_of(child)]


def is_training(pid: int) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"train" in words and b"launch" not in words and b"torch.distributed.run" not in words


def wait_for(condition: object, timeout_s: float) -> bool:
    assert callable(condition)
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.2)
    return False


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes through /proc")
def test_a_killed_instance_ends_the_job_and_leaves_whole_checkpoints(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "killed"
    words: Sequence[str] = ["--config", str(write_config(tmp_path, epochs=50)), "--name", "killed"]
    job = start(2, *words, "--set", f"runs_dir={tmp_path / 'runs'}", device="ipu")
    try:
        assert wait_for(lambda: (run / "checkpoints" / "epoch-0001").is_dir(), 90), finish(job, 1)
        instances = [pid for pid in children_of(job.pid) if is_training(pid)]
        assert len(instances) == 2
        killed_at = time.monotonic()
        os.kill(instances[1], signal.SIGKILL)
        output = finish(job, 30)
    finally:
        job.kill()
    assert job.returncode not in (0, None)
    assert time.monotonic() - killed_at < 30
    assert "ipu_app" in output and ("killed" in output.lower() or "signal" in output.lower()), output
    assert wait_for(lambda: not any(is_training(pid) for pid in instances), 10), "an instance lives on"
    newest = newest_checkpoint(run / "checkpoints")
    assert newest is not None and load_file(str(newest / "weights.safetensors"))
    resumed = start(1, "--resume", str(run), "--epochs", str(int(newest.name[-4:]) + 1), device="ipu")
    output = finish(resumed)
    assert resumed.returncode == 0, output


OWN_DATA = Path(__file__).parent / "programs" / "own_data.py"


def test_hosts_may_have_the_same_data_elsewhere(tmp_path: Path) -> None:
    """What is compared is what is in the folder: another place of it is allowed, another image is not."""
    first, config = make_images(tmp_path / "host 0", count=16), write_config(tmp_path, epochs=1)
    shutil.copytree(str(first), str(tmp_path / "host 1"))
    words = [str(OWN_DATA), str(tmp_path / "host RANK"), "--config", str(config)]
    words += ["--set", "data.workers=0", "--set", f"runs_dir={tmp_path / 'runs'}"]
    job = start_job("launch", "--instances", "2", "--", *words)
    output = finish(job)
    assert job.returncode == 0 and "FutureWarning" not in output, output
    next((tmp_path / "host 1" / "train" / "red").iterdir()).unlink()
    job = start_job("launch", "--instances", "2", "--", *words)
    output = finish(job)
    assert job.returncode != 0 and "data differs from rank 0's on rank 1" in output, output
    assert "'train: 47 images, 3 classes, manifest" in output
