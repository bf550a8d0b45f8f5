"""The IPU runtime between the calls: what the device is told, what is saved, how a failure reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
import torch

from ipu_app import build
from ipu_app.config.load import load_config
from ipu_app.distributed.comm import SingleComm
from ipu_app.errors import RunFailed
from ipu_app.runtime.base import Runtime, StepKnobs
from ipu_app.settling.phase_batches import make_geometries
from ipu_app.settling.phase_estimates import configured_spec
from ipu_app.training.checkpoint import load_state, save_checkpoint

CONFIG = """
model: {name: cifar, group_size: 16, norm: NORM, drop_connect: 0.5, dropout: 0.5}
phases:
  train:
    resolution: 32
    batch: {micro: 2, accumulation: 2, replicas: 2}
    optimizer: {kind: sgd, lr: 0.05}
    pipeline: {precision: 32.32}
"""
PEAK, LOW = StepKnobs(lr=0.05, loss_scale=1.0), StepKnobs(lr=0.0005, loss_scale=1.0)


def make_runtime(folder: Path, norm: str = "gn") -> Runtime:
    path = folder / "config.yaml"
    path.write_text(CONFIG.replace("NORM", norm))
    config = load_config(path, ["device.kind=ipu", "device.poptorch=sim"])
    phase = config.phases["train"]
    spec = configured_spec(config.model, 10)
    parts = build.make_parts(config, phase, spec, make_geometries(phase, "ipu", instances=1))
    return build.make_runtime("ipu", config, phase, parts, SingleComm())


@pytest.fixture
def runtimes(tmp_path: Path) -> Iterator[List[Runtime]]:
    made = [make_runtime(tmp_path) for _ in range(2)]
    yield made
    for runtime in made:
        runtime.close()


def batch() -> Any:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return images, torch.arange(8) % 10


def difference(ones: Dict[str, torch.Tensor], others: Dict[str, torch.Tensor]) -> float:
    return max((ones[name] - others[name]).abs().max().item() for name in ones)


def test_a_continued_run_goes_on_with_its_rate_and_its_random_numbers(
    runtimes: List[Runtime], tmp_path: Path
) -> None:
    first, second = runtimes
    for knobs in (PEAK, LOW, LOW):
        first.train_batch(batch(), knobs)
    saved = first.state_dict()
    folder = save_checkpoint(tmp_path, 1, weights=saved["model"], averaged=saved["model"], state=saved)
    first.train_batch(batch(), LOW)
    second.load_state_dict(load_state(folder))
    second.train_batch(batch(), LOW)  # LOW is what the saved optimiser holds; the device was made with PEAK
    assert difference(first.weights(), second.weights()) < 1e-6
    second.load_state_dict(load_state(folder))  # into one that is compiled
    second.train_batch(batch(), LOW)
    assert difference(first.weights(), second.weights()) < 1e-6


def test_a_run_interrupted_again_and_again_equals_an_uninterrupted_one(
    runtimes: List[Runtime], tmp_path: Path
) -> None:
    def taken_over(runtime: Runtime, other: Runtime, name: str) -> None:
        state = runtime.state_dict()
        folder = save_checkpoint(
            tmp_path / name, 1, weights=state["model"], averaged=state["model"], state=state
        )
        other.load_state_dict(load_state(folder))

    whole, second = runtimes
    third = make_runtime(tmp_path)
    taken_over(third, second, "untrained")
    whole.train_batch(batch(), PEAK)
    whole.train_batch(batch(), LOW)
    taken_over(whole, second, "trained")
    taken_over(second, third, "before anything was compiled")
    third.prepare(batch())
    taken_over(third, second, "compiled, before a call")
    taken_over(second, third, "into a compiled one")
    third.train_batch(batch(), LOW)
    taken_over(third, second, "after a call")
    second.train_batch(batch(), LOW)
    third.close()
    for _ in range(2):
        whole.train_batch(batch(), LOW)
    assert difference(whole.weights(), second.weights()) < 1e-6


def test_random_numbers_do_matter_there(runtimes: List[Runtime]) -> None:
    first, second = runtimes
    first.train_batch(batch(), PEAK)
    saved = first.state_dict()
    first.train_batch(batch(), PEAK)
    del saved["random_ipu"]
    second.load_state_dict(saved)
    second.train_batch(batch(), PEAK)
    assert difference(first.weights(), second.weights()) > 1e-4


def test_random_numbers_of_other_replicas_are_not_taken(runtimes: List[Runtime]) -> None:
    first, second = runtimes
    first.train_batch(batch(), PEAK)
    saved = first.state_dict()
    saved["random_ipu"] = {"layout": "another one", "state": ["of another kind"]}
    second.load_state_dict(saved)
    second.train_batch(batch(), PEAK)


def test_a_failure_while_it_runs_is_told_without_a_traceback(runtimes: List[Runtime]) -> None:
    runtime = runtimes[0]
    runtime.train_batch(batch(), PEAK)
    images, labels = batch()
    with pytest.raises(RunFailed, match="PopTorch stopped: .*Shape mismatch"):
        runtime.train_batch((images[..., :30].contiguous(), labels), PEAK)


def test_batch_norm_moves_its_averages(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path, norm="bn")
    before = runtime.weights()
    runtime.train_batch(batch(), PEAK)
    after = runtime.weights()
    runtime.close()
    moved = [name for name in after if name.endswith(("running_mean", "running_var"))]
    assert moved and all(difference({"": before[name]}, {"": after[name]}) > 0 for name in moved)
    assert all(torch.all(after[name] > 0) for name in moved if name.endswith("var"))
