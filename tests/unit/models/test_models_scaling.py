"""Compound scaling against a table of its law and of STEP 1's grid (tests/golden/models/scaling.json)."""

from __future__ import annotations

import pytest
from models_golden import document

from ipu_app.models.counts import count_multiply_adds, count_parameters
from ipu_app.models.layout import block_specs
from ipu_app.models.scaling import Coefficients, grid, multipliers, scaled_spec
from ipu_app.models.spec import make_spec

GOLDEN = document("scaling")


def totals(spec):
    return sum(count_parameters(spec).values()), sum(count_multiply_adds(spec).values())


def test_the_law_has_the_true_counts():
    for phi, width, depth, resolution, *counts in GOLDEN["law"]:
        spec = scaled_spec("b0", phi)
        assert (round(spec.width, 4), round(spec.depth, 4)) == (width, depth)
        assert spec.native_resolution == resolution
        assert list(totals(spec)) == counts, phi


def test_the_grid_of_step_one():
    base = totals(make_spec("b0"))[1]
    points = grid(step=0.05, low=1.0, high=2.0, tolerance=0.1)
    assert len(points) == len(GOLDEN["grid"]) == 109
    for point, (alpha, beta, gamma, resolution, work, parameters) in zip(points, GOLDEN["grid"]):
        assert (point.alpha, point.beta, point.gamma) == (alpha, beta, gamma)
        spec = scaled_spec(make_spec("b0"), 1, point)
        assert spec.native_resolution == resolution
        assert totals(spec)[0] == parameters
        assert round(totals(spec)[1] / base, 4) == work


def test_the_published_coefficients_are_the_default():
    assert [Coefficients().alpha, Coefficients().beta, Coefficients().gamma] == GOLDEN["coefficients"]
    assert Coefficients() in grid()
    assert multipliers(2) == pytest.approx((1.44, 1.21, 1.3225))
    assert multipliers(0, Coefficients(1.5, 1.4, 1.3)) == (1, 1, 1)


def test_scaling_keeps_the_base_networks_own_settings():
    base = make_spec("v2-b0", group_size=16, norm="ln_pn", num_classes=7)
    spec = scaled_spec(base, 1)
    assert (spec.native_resolution, spec.evaluation_resolution) == (221, 258)  # 192 and 224 times 1.15
    assert (spec.group_size, spec.norm, spec.num_classes) == (16, "ln_pn", 7)
    assert spec.half_resolution is None
    assert [block.kind for block in block_specs(spec)][:3] == ["fused"] * 3
    b2 = scaled_spec(make_spec("b2"), 1)
    assert (b2.width, b2.depth) == (pytest.approx(1.21), pytest.approx(1.44))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: grid(step=0), "step=0: must be above 0"),
        (lambda: grid(low=2, high=1), "low=2, high=1"),
        (lambda: Coefficients(alpha=0), "alpha=0: must be above 0"),
        (lambda: scaled_spec("b9", 1), "model='b9'"),
    ],
)
def test_bad_values_are_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()
