"""What counts as extrapolated, by how much, and which memory limit follows from what is known to run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipu_app.models.layer_table import load_layer_table
from ipu_app.models.spec import make_spec
from pipelines.confidence import expected_error_pct, extrapolations, training_parts
from pipelines.cost import constants
from pipelines.cost.cycles import conv_kinds
from pipelines.cost.hardware import ipu_target, paper_target
from pipelines.cost.layers import ConvShape
from pipelines.estimate import estimate_plan, memory_rejections
from pipelines.hints import hints, needs_last_of_limit
from pipelines.known_runs import KNOWN_RUNS, fullest_known
from pipelines.plan import PipelinePlan
from pipelines.planner import PlanLimits, plan_pipelines

PAPER = paper_target()
TWO = PipelinePlan.from_splits(["block4a"])


@pytest.fixture(scope="module")
def b0(tables):
    return load_layer_table(make_spec("b0", group_size=16, norm="gn"), cache=tables)


def reasons(layers, plan=TWO, target=PAPER, *, precision="16.32", num_ipus=16, **more):
    return extrapolations(layers, plan, target, precision=precision, num_ipus=num_ipus, **more)


def test_a_published_configuration_is_no_extrapolation(b0):
    assert reasons(b0) == ()
    assert expected_error_pct(()) == constants.value("error_pct.published_family")


@pytest.mark.parametrize(("group", "named"), [(1, False), (4, True), (24, True), (64, True)])
def test_group_sizes_that_nobody_published_are_named(tables, group, named):
    layers = load_layer_table(make_spec("b0", group_size=group, norm="gn"), cache=tables)
    assert ("group_size" in reasons(layers)) == named


def test_the_published_networks_with_a_few_odd_widths_count_as_group_16(tables):
    layers = load_layer_table(make_spec("b3", group_size=16, norm="gn"), cache=tables)
    assert {row.conv.group_size for row in layers if row.conv and row.conv.kernel > 1} > {16, 20, 24}
    assert reasons(layers) == ()


def test_dense_convolutions_are_named_and_have_a_row_of_their_own(b0):
    dense = ConvShape(64, 64, 1, 3, 100)
    assert conv_kinds(dense) == (("dense", 1.0, 64),)
    assert not ConvShape(3, 32, 1, 3, 100).is_dense and not ConvShape(64, 64, 4, 3, 100).is_dense
    index = next(k for k, row in enumerate(b0) if row.conv == replace(row.conv or dense, kernel=3) and k > 5)
    table = (*b0[:index], replace(b0[index], conv=dense), *b0[index + 1 :])
    assert reasons(table) == ("dense_conv",)


def test_depth_and_size_count_by_the_doubling(b0):
    def stages(number):
        return PipelinePlan.from_splits([f"s{k}" for k in range(number - 1)])

    sizes = {}
    for number in (1, 2, 4, 8, 16):
        parts = training_parts(b0, stages(number), PAPER, precision="16.32", num_ipus=16)
        sizes[number] = sum(part.error_pct for part in parts if part.name == "stages")
    step = constants.value("error_pct.stages")
    assert sizes == {1: step, 2: 0, 4: 0, 8: step, 16: 2 * step}
    assert "num_ipus" in reasons(b0, num_ipus=64)
    newer = ipu_target("bow", framework="tf1")
    assert [("num_ipus" in reasons(b0, target=newer, num_ipus=n)) for n in (16, 32, 64, 256)] == [
        False,
        True,
        False,
        False,
    ]


def test_each_reason_widens_the_error(b0):
    plans = {"stages": (PipelinePlan.from_splits([]), PAPER), "platform": (TWO, ipu_target("mk2"))}
    for name, (plan, target) in plans.items():
        parts = training_parts(b0, plan, target, precision="16.32", num_ipus=16)
        assert name in [part.name for part in parts]
        for part in parts:
            fewer = [other for other in parts if other != part]
            assert expected_error_pct(parts) > expected_error_pct(fewer)


def test_every_reason_has_a_size_and_says_why():
    for name, constant in constants.table().items():
        if name.startswith("error_pct."):
            assert constant.value > 0 and len(constant.source) > 20


@pytest.mark.parametrize("run", KNOWN_RUNS, ids=lambda run: run.name)
def test_what_is_known_to_run_is_counted_as_the_table_says_and_admitted(run, tables):
    layers = load_layer_table(make_spec(run.model, group_size=run.group_size, norm=run.norm), cache=tables)
    estimate = estimate_plan(
        layers,
        run.plan,
        run.geometry,
        ipu_target("mk2", sdk=run.sdk),
        precision=run.precision,
        offload_optimizer=run.offload_optimizer,
    )
    assert round(max(estimate.memory_mb)) == run.counted_mb
    assert memory_rejections(estimate) == ()


@pytest.mark.parametrize("sdk", ["2.0", "3"])
def test_the_default_limit_lies_just_above_the_fullest_known_run(sdk):
    limit_mb = ipu_target("mk2", sdk=sdk).memory_limit_bytes / 1e6
    assert fullest_known(sdk).counted_mb < limit_mb <= 1.01 * fullest_known(sdk).counted_mb


def test_a_plan_that_needs_the_last_of_a_limit_is_flagged_with_the_next_best(b0):
    best = plan_pipelines(b0, PAPER, PlanLimits(16), top=1).best
    tight = PlanLimits(16, memory_limit_bytes=1.005e6 * max(best.memory_mb))
    assert needs_last_of_limit(best, tight.limit_bytes)
    (hint,) = hints(b0, PAPER, tight, best)
    assert "needs the last 2 %" in hint and "without them:" in hint and "--memory-limit" in hint
    assert hints(b0, PAPER, PlanLimits(16, memory_limit_bytes=1.1e6 * max(best.memory_mb)), best) == ()
