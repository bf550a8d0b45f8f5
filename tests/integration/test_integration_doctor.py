"""``doctor --trace``: what PopTorch would see of a recipe, and what it would refuse."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ipu_app.__main__ import main
from ipu_app.build import make_workers
from ipu_app.config.load import load_config
from ipu_app.config.schema import DataConfig
from ipu_app.environment import share_of_cores
from ipu_app.runs.compilation import trace_phase
from ipu_app.runs.host_rate import host_lines

CONFIG = """
model: {name: cifar, group_size: 16, norm: ln_pn}
phases:
  train:
    resolution: 32
    batch: {micro: 2, accumulation: 5, replicas: REPLICAS}
    augment: {mixup_alpha: 0.2, cutmix_strength: 0.9}
    pipeline: {splits: [block3a, block5a.project, Top], precision: 16.32}
  tune:
    trainable: Top
    resolution: 64
"""


def write(folder: Path, replicas: int) -> Path:
    path = folder / "config.yaml"
    path.write_text(CONFIG.replace("REPLICAS", str(replicas)).replace("accumulation: 5", "accumulation: 7"))
    return path


def test_trace_lists_operations_with_shape_module_and_ipu(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(["doctor", "--trace", str(write(tmp_path, 2))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "operations in 4 stage(s) on 8 IPU(s), 2 replica(s)" in lines[-1]
    stem = next(line for line in lines if "aten::convolution" in line)
    assert "graph.model.blocks.block0" in stem and "float16[2, 16, 32, 32]" in stem
    assert stem.startswith("IPU 0 stage 0")
    top = next(line for line in lines if "blocks.Top" in line)
    assert top.startswith("IPU 3 stage 3")


def test_each_phase_can_be_traced(tmp_path: Path) -> None:
    report = trace_phase(load_config(write(tmp_path, 2)), "tune")
    assert report.num_stages == 1 and report.num_ipus == 1
    with pytest.raises(ValueError, match="phase='nothing'"):
        trace_phase(load_config(write(tmp_path, 2)), "nothing")


def test_what_poptorch_refuses_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["doctor", "--trace", str(write(tmp_path, 3))]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "PopTorch refuses to compile" in error and "power of" in error.lower()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system can not restrict a process")
def test_only_usable_cores_are_counted() -> None:
    """More loader processes than cores only get in each other's way, and torch warns of them."""
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert make_workers(DataConfig(source="images")) == 1
        lines = host_lines(10.0, workers=1, cores=share_of_cores(1), demand_images_per_s=1.0)
        assert "from 1 loader worker on 1 core" in lines[0]
    finally:
        os.sched_setaffinity(0, allowed)
    assert make_workers(DataConfig(source="images")) == len(allowed)
