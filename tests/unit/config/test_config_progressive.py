"""Stages of progressive learning: both laws against the original's numbers, alignment, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ipu_app.config.progressive import (
    ProgressiveConfig,
    aligned,
    own_ranges,
    staged,
    stages,
)
from ipu_app.models.families import SIZES
from ipu_app.models.spec import make_spec

GOLDEN = json.loads(
    (Path(__file__).parents[2] / "golden" / "training" / "progressive.json").read_text(encoding="utf-8")
)
FIELDS = ("resolution", "randaugment", "mixup_alpha", "cutmix_alpha", "dropout", "start", "end")


@pytest.mark.parametrize("rule", ["paper", "released"])
@pytest.mark.parametrize("model", sorted(GOLDEN))
def test_stages_equal_the_laws(model: str, rule: str) -> None:
    expected = GOLDEN[model][rule]
    found = stages(model.upper(), rule=rule)
    for field in FIELDS:
        assert [getattr(stage, field) for stage in found] == pytest.approx(expected[field]), field
    evaluated_at = make_spec(model).evaluation_resolution
    sizes = [stage.resolution for stage in stages(model, rule=rule, align=evaluated_at)]
    assert sizes == expected["aligned"]


@pytest.mark.parametrize("model", sorted(SIZES))
def test_every_network_ends_at_its_own_size_and_dropout(model: str) -> None:
    spec = make_spec(model)
    last = stages(model, rule="released")[-1]
    assert (last.resolution, last.dropout) == (spec.native_resolution, spec.dropout)
    first = stages(model)[0]
    assert first.resolution < last.resolution and first.dropout <= last.dropout


def test_small_version_2_networks_grow_in_size_only() -> None:
    found = stages("v2-b0", rule="released")
    assert [stage.resolution for stage in found] == [144, 160, 176, 192]
    assert {stage.randaugment for stage in found} == {None}


def test_one_stage_is_the_last() -> None:
    (only,) = stages("v2-m", count=1)
    assert (only.resolution, only.randaugment, only.start, only.end) == (380, 20, 0, 1)


@pytest.mark.parametrize(
    "size,goal,expected", [(16, 0, 32), (144, 0, 128), (145, 0, 160), (171, 12, 172), (20, 31, 31)]
)
def test_alignment_takes_the_smaller_of_two_equally_near(size: int, goal: int, expected: int) -> None:
    assert aligned(size, goal) == expected


def test_any_first_and_last_value_can_be_set() -> None:
    config = ProgressiveConfig(rule="paper", stages=3, resolution=(32, 64), dropout=(0.0, 0.5))
    found = staged(config.ranges(own_ranges("v2-s", "paper")), rule="paper", count=3)
    assert [stage.resolution for stage in found] == [32, 48, 64]
    assert [stage.dropout for stage in found] == [0.0, 0.25, 0.5]
    assert [stage.randaugment for stage in found] == [5, 10, 15]


@pytest.mark.parametrize(
    "settings,message",
    [
        ({"rule": "fast"}, "progressive.rule='fast': choose one of off, paper, released"),
        ({"align": "test"}, "progressive.align='test': must be none, eval, or a size"),
        ({"resolution": (128,)}, r"progressive.resolution=\[128\]: must be \[first, last\]"),
        ({"resolution": (8, 128)}, "progressive.resolution=8: must lie between 16"),
        ({"dropout": (0.1, 1.5)}, "progressive.dropout=1.5"),
        ({"micro": (8, 4)}, "progressive.micro has 2 values: give one for each of 4 stages"),
        ({"stages": 0}, "progressive.stages=0"),
    ],
)
def test_bad_sections_are_refused_by_name(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ProgressiveConfig(**settings)


def test_unknown_networks_and_laws_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="model='b9': choose one of b0"):
        stages("b9")
    with pytest.raises(ValueError, match="progressive.rule='off': choose one of paper, released"):
        stages("b0", rule="off")
