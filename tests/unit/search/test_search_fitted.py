"""Accuracy fitted on published evaluations: its error is measured by leaving each model out."""

from __future__ import annotations

import pytest

from ipu_app.models.spec import make_spec
from ipu_app.search.fitted import fit_accuracy, published_evaluations, recipe_for


def test_left_out_errors_are_what_is_said() -> None:
    fit = fit_accuracy()
    assert len(published_evaluations()) == 38
    assert fit.left_out_points == pytest.approx(0.38, abs=0.01)
    assert fit.worst_left_out_points == pytest.approx(0.92, abs=0.01)


def test_larger_networks_are_more_accurate_and_block_kinds_make_no_difference_of_their_own() -> None:
    fit = fit_accuracy()
    sizes = [make_spec(name) for name in ("b0", "b2", "b4", "b6")]
    found = [fit.top1_pct(spec, spec.native_resolution, recipe_for(spec)) for spec in sizes]
    assert found == sorted(found) and 75 < found[0] < 78 and 83 < found[-1] < 86
