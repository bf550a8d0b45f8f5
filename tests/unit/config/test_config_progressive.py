"""Stages of progressive learning: both laws against the original's numbers, alignment, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Tuple

import pytest

from ipu_app.config.convert import to_plain
from ipu_app.config.load import load_config
from ipu_app.config.phase_stages import PhaseStage, phase_stages
from ipu_app.config.progressive import (
    ProgressiveConfig,
    aligned,
    own_ranges,
    staged,
    stages,
)
from ipu_app.config.schema import RunConfig
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
    assert first.resolution < last.resolution or last.resolution == 32  # the least there is
    assert first.dropout <= last.dropout


def test_small_version_2_networks_grow_in_size_only() -> None:
    found = stages("v2-b0", rule="released")
    assert [stage.resolution for stage in found] == [144, 160, 176, 192]
    assert {stage.randaugment for stage in found} == {None}


def test_one_stage_is_the_last() -> None:
    (only,) = stages("v2-m", count=1)
    assert (only.resolution, only.randaugment, only.start, only.end) == (380, 20, 0, 1)


@pytest.mark.parametrize(
    "size,goal,expected", [(33, 0, 32), (144, 0, 128), (145, 0, 160), (171, 12, 172), (40, 31, 63)]
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
        ({"resolution": (8, 128)}, "progressive.resolution=8: must lie between 32"),
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


def demo(*overrides: str) -> RunConfig:
    """A run of 64 images an update, by the paper's law unless told otherwise."""
    base = {"epochs": 4, "batch.micro": 8, "batch.accumulation": 4, "batch.replicas": 2}
    said = {f"phases.train.{key}": str(value) for key, value in {**base, "progressive.rule": "paper"}.items()}
    said.update(item.split("=", 1) for item in overrides)
    return load_config(None, [f"{key}={value}" for key, value in said.items()])


def of(config: RunConfig, native: int = 224, evaluation: int = 224) -> Tuple[PhaseStage, ...]:
    return phase_stages(config, "train", native=native, evaluation=evaluation)


def test_a_phase_without_progression_is_its_only_stage() -> None:
    config = load_config(None, ["phases.train.epochs=7"])
    (only,) = of(config)
    assert (only.first_epoch, only.end_epoch) == (0, 7)
    assert only.config is config and only.phase is config.phases["train"]


def test_stages_are_plain_phases_with_the_whole_phases_optimiser_and_epochs() -> None:
    config = demo("phases.train.epochs=9")
    found = of(config)
    assert [(s.first_epoch, s.end_epoch) for s in found] == [(0, 2), (2, 4), (4, 6), (6, 9)]
    assert [s.phase.resolution for s in found] == [128, 160, 192, 224]
    assert [s.config.model.dropout for s in found] == pytest.approx([0.1, 0.4 / 3, 0.5 / 3, 0.2])
    for stage in found:
        assert stage.phase.epochs == 9 and stage.phase.optimizer == config.phases["train"].optimizer
        assert not stage.phase.progressive.is_on and stage.config.phases["train"] is stage.phase
        assert to_plain(stage.config)  # saves, as every configuration does
    assert "stage 2/4: epochs 3 to 4 at 160 px, RandAugment 8.33" in found[1].describe()


def test_batch_factors_differ_but_the_global_batch_stays() -> None:
    batches = "[16, 8, 8, 4]", "[1, 1, 2, 2]", "[[], [], [block4a], [block3a, block5a]]"
    micro, replicas, splits = (
        f"phases.train.progressive.{key}={value}"
        for key, value in zip(("micro", "replicas", "splits"), batches)
    )
    found = of(demo(micro, replicas, splits))
    assert [s.phase.batch.micro for s in found] == [16, 8, 8, 4]
    assert {s.phase.batch.global_batch for s in found} == {64}
    assert [len(s.phase.pipeline.splits) for s in found] == [0, 0, 1, 2]
    with pytest.raises(ValueError, match="stage 1's micro-batch 12 x replicas 2 do not divide .* of 64"):
        of(demo("phases.train.progressive.micro=[12, 8, 8, 8]"))


def test_the_runs_own_values_are_what_its_stages_end_at() -> None:
    found = of(
        demo("phases.train.resolution=64", "model.dropout=0.05", "phases.train.augment.mixup_alpha=0.2")
    )
    assert [s.phase.resolution for s in found] == [32, 42, 53, 64]
    assert {s.config.model.dropout for s in found} == {0.05}
    assert [s.phase.augment.mixup_alpha for s in found] == pytest.approx([0, 0.2 / 3, 0.4 / 3, 0.2])
    (*_, last) = of(demo("phases.train.augment.randaugment.magnitude=9"))
    assert last.phase.augment.randaugment.magnitude == 9


def test_images_that_are_not_augmented_are_not_changed_by_a_stage_either() -> None:
    for item in ("preprocessing=eval", "autoaugment=v0"):
        found = of(demo(f"phases.train.augment.{item}"))
        assert {s.phase.augment.randaugment.magnitude for s in found} == {None}


def test_sizes_are_aligned_to_the_evaluation_size_or_to_any() -> None:
    align = "phases.train.progressive.align="
    sizes = [
        [s.phase.resolution for s in of(demo(f"{align}{goal}"), evaluation=240)] for goal in ("eval", "33")
    ]
    assert sizes == [[112, 144, 176, 208], [129, 161, 193, 225]]


def test_fewer_epochs_than_stages_are_refused() -> None:
    with pytest.raises(ValueError, match=r"phases.train.epochs=3: must be at least progressive.stages=4"):
        of(demo("phases.train.epochs=3"))


def test_version_2s_cutmix_needs_its_law_of_mixing() -> None:
    config = demo("model.name=v2-m", "phases.train.progressive.rule=released")
    with pytest.raises(ValueError, match="set augment.mixing=v2"):
        of(config, 384, 480)
    found = of(demo("model.name=v2-m", "phases.train.augment.mixing=v2"), 384, 480)
    assert [s.phase.resolution for s in found] == [128, 212, 296, 380]
