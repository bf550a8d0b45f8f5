"""Schedules and weight averages against the original's numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ipu_app.training.averaging import WeightAverage
from ipu_app.training.curves import Curve, published_peak, published_rho

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "training"


def test_exponential_schedule_is_the_originals() -> None:
    golden = np.load(GOLDEN / "lr_schedule.npz")
    curve = Curve(peak=published_peak(768), epochs=350)
    ours = [curve.lr(epoch) for epoch in golden["epoch"]]
    np.testing.assert_allclose(ours, golden["lr"], rtol=0, atol=1e-9)
    assert published_peak(768) == golden["peak"] == 0.046875
    assert published_rho(768) == 0.953125


def test_cosine_starts_at_the_peak_after_warm_up_and_ends_at_zero() -> None:
    curve = Curve(peak=2.0, epochs=10, kind="cosine", warmup_epochs=2)
    assert curve.lr(0) == 0 and curve.lr(1) == 1.0
    assert curve.lr(2) == 2.0
    assert curve.lr(6) == pytest.approx(1.0)
    assert curve.lr(10) == pytest.approx(0.0)


@pytest.mark.parametrize("decay", [0.97, 0.9, 0.5])
def test_weight_average_is_the_originals(decay: float) -> None:
    golden = np.load(GOLDEN / "weight_avg.npz")
    average = WeightAverage(decay)
    for values in golden["ckpt_values"]:
        average.add({"w": torch.from_numpy(values), "count": torch.tensor(3)})
    np.testing.assert_allclose(average.state_dict()["w"].numpy(), golden[f"exp_{decay}"], rtol=0, atol=1e-12)
    assert average.weights()["w"].dtype == torch.float32
    assert average.weights()["count"] == 3


def test_weight_average_continues_from_its_state() -> None:
    samples = [{"w": torch.randn(5)} for _ in range(4)]
    whole, first = WeightAverage(0.9), WeightAverage(0.9)
    for sample in samples:
        whole.add(sample)
    for sample in samples[:2]:
        first.add(sample)
    second = WeightAverage(0.9)
    second.load_state_dict(first.state_dict(), samples[0])
    for sample in samples[2:]:
        second.add(sample)
    assert torch.equal(second.weights()["w"], whole.weights()["w"])
