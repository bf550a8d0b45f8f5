"""The planner against brute force over real layer tables, and what must never get worse."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipu_app.models.layer_table import load_layer_table
from ipu_app.models.spec import make_spec
from pipelines.candidates import Candidates, make_atoms
from pipelines.cost.hardware import paper_target
from pipelines.cost.layers import sub_block_starts
from pipelines.estimate import check_plan, estimate_plan, memory_rejections
from pipelines.geometry import BatchGeometry
from pipelines.plan import PipelinePlan
from pipelines.planner import PlanLimits, legal_shapes, plan_pipelines

MK2 = paper_target()


@pytest.fixture(scope="module")
def cifar(tables):
    return load_layer_table(make_spec("cifar", group_size=16, norm="gn"), 64, cache=tables)


@pytest.fixture(scope="module")
def b0(tables):
    return load_layer_table(make_spec("b0", group_size=16, norm="gn"), cache=tables)


def coarse(layers, keep):
    """The same network with fewer legal stage starts, so that brute force can visit all partitions."""
    names = list(sub_block_starts(layers))
    kept = names[:: len(names) // keep][:keep]
    owner, current = {}, names[0]
    for name in names:
        current = name if name in kept else current
        owner[name] = current
    return tuple(replace(layer, sub_block=owner[layer.sub_block]) for layer in layers)


def every_plan(layers, limits):
    names = list(sub_block_starts(layers))
    for shape in legal_shapes(limits, len(names)):
        for splits in combinations(names[1:], shape.num_stages - 1):
            plan = PipelinePlan.from_splits(splits, first=names[0])
            geometry = BatchGeometry(shape.micro_batch, shape.accumulation, shape.replicas)
            yield estimate_plan(layers, plan, geometry, MK2)


@pytest.fixture(scope="module")
def small(cifar):
    """A network of nine sub-blocks, and the estimates of all its plans on four IPUs, the fastest first."""
    layers = coarse(cifar, 9)
    return layers, sorted(every_plan(layers, PlanLimits(4, 48)), key=lambda estimate: estimate.step_s)


@pytest.mark.parametrize("limit_mb", [None, 60.0, 20.0])
def test_the_best_plan_is_the_best_of_all_plans(small, limit_mb):
    layers, everything = small
    limits = PlanLimits(4, 48, None if limit_mb is None else 1e6 * limit_mb)
    search = plan_pipelines(layers, MK2, limits, top=3)
    estimates = [found for found in everything if not memory_rejections(found, limits.on(MK2).limit_bytes)]
    assert len(estimates) > 10
    assert search.best.step_s == pytest.approx(estimates[0].step_s, rel=1e-12)
    assert all(ranked.is_optimal for ranked in search.ranked)
    steps = [ranked.estimate.step_s for ranked in search.ranked]
    assert steps == sorted(steps)


def test_the_search_costs_a_plan_as_the_estimate_does(b0):
    limits = PlanLimits(16, offload_optimizer=True)
    for ranked in plan_pipelines(b0, MK2, limits, top=4).ranked:
        estimate = ranked.estimate
        again = estimate_plan(b0, estimate.plan, estimate.geometry, MK2, offload_optimizer=True)
        assert again == estimate
        atoms = make_atoms(b0, MK2, limits.policy)
        names = [atom.name for atom in atoms]
        cuts = (0, *(names.index(split) for split in estimate.plan.splits), len(names))
        costs = Candidates(atoms, MK2, limits.policy, estimate.geometry.micro_batch)
        forward, recompute, backward = costs.stage_columns(cuts)
        times = [stage.times for stage in estimate.stages]
        assert forward == pytest.approx([t.forward_s for t in times])
        assert recompute == pytest.approx([t.recompute_s for t in times])
        assert backward == pytest.approx([t.backward_s for t in times])
        fullest = max(stage.memory.total_bytes for stage in estimate.stages)
        assert costs.chain(len(times), fullest).fits(cuts)
        assert not costs.chain(len(times), fullest - 1).fits(cuts)


@given(megabytes=st.floats(60, 500), more=st.floats(1.0, 1.8), ipus=st.sampled_from([1, 2, 4]))
@settings(max_examples=15, deadline=None)
def test_more_memory_is_never_worse(b0, megabytes, more, ipus):
    def best_step_s(limit_mb):
        try:
            return plan_pipelines(b0, MK2, PlanLimits(ipus, 96, 1e6 * limit_mb), top=1).best.step_s
        except ValueError:
            return float("inf")

    assert best_step_s(more * megabytes) <= best_step_s(megabytes) * (1 + 1e-9)


@given(faster=st.floats(1.0, 3.0), splits=st.sampled_from([(), ("block3b",), ("block2b", "block4a", "Top")]))
@settings(max_examples=15, deadline=None)
def test_a_faster_clock_is_never_slower(b0, faster, splits):
    plan, geometry = PipelinePlan.from_splits(splits), BatchGeometry(4, 12, 2)
    steps = [
        estimate_plan(b0, plan, geometry, replace(MK2, clock_hz=clock)).step_s
        for clock in (MK2.clock_hz, faster * MK2.clock_hz)
    ]
    assert steps[1] <= steps[0]
    assert steps[1] >= steps[0] / faster * (1 - 1e-9)


def test_the_bubble_shrinks_with_accumulation_and_images_per_s_grow(b0):
    plan = PipelinePlan.from_splits(["block2b", "block4a", "block5c"])
    found = [estimate_plan(b0, plan, BatchGeometry(4, a, 4), MK2) for a in (7, 20, 100, 5000)]
    bubbles = [estimate.bubble_fraction for estimate in found]
    assert bubbles == sorted(bubbles, reverse=True) and bubbles[-1] < 0.002 < bubbles[0]
    speeds = [estimate.images_per_s for estimate in found]
    assert speeds == sorted(speeds)


def test_no_recomputation_is_faster_and_larger(b0):
    geometry = BatchGeometry(2, 8, 8)
    redone, kept = (
        estimate_plan(b0, PipelinePlan.from_splits(["block3b"], recompute=recompute), geometry, MK2)
        for recompute in (True, False)
    )
    assert kept.step_s < redone.step_s and kept.memory_mb[0] > redone.memory_mb[0]
    assert kept.memory_mb[1] == redone.memory_mb[1]
    assert kept.extrapolated == ("schedule",) and redone.extrapolated == ()


def test_schedules_rank_as_they_should(b0):
    geometry = BatchGeometry(2, 8, 2)
    steps, memory = {}, {}
    for schedule in ("grouped", "interleaved", "sequential"):
        plan = PipelinePlan.from_splits(["block2b", "block3b", "block5a"], schedule=schedule)
        estimate = estimate_plan(b0, plan, geometry, MK2)
        steps[schedule], memory[schedule] = estimate.step_s, sum(estimate.memory_mb)
    assert steps["grouped"] < steps["interleaved"] < steps["sequential"]
    assert memory["grouped"] > memory["interleaved"] > memory["sequential"]


def test_ipus_that_are_no_power_of_two_are_refused_with_the_nearest(b0):
    with pytest.raises(ValueError, match="ipus=3: .*nearest: 2 or 4"):
        PlanLimits(3)
    with pytest.raises(ValueError, match="ipus=12: .*nearest: 8 or 16"):
        check_plan(PipelinePlan.from_splits(["block2a"]), BatchGeometry(1, 3, 6))


def test_a_global_batch_that_cannot_be_made_gets_the_nearest_that_can(b0):
    with pytest.raises(ValueError, match="global_batch=7: .*nearest: 16 or 24"):
        plan_pipelines(b0, MK2, PlanLimits(16, 7))
    for batch in (16, 24):
        assert plan_pipelines(b0, MK2, PlanLimits(16, batch), top=1).best.geometry.samples_per_step == batch


def test_a_model_that_fits_nowhere_says_what_comes_nearest(b0):
    message = "fits nowhere; nearest is 2 stages, micro-batch 1, which needs"
    with pytest.raises(ValueError, match=message) as refusal:
        plan_pipelines(b0, MK2, PlanLimits(2, 96, 20e6))
    needed = float(str(refusal.value).split("needs ")[1].split(" MB")[0])
    assert plan_pipelines(b0, MK2, PlanLimits(2, 96, 1e6 * (needed + 1)), top=1).best.plan.num_stages == 2


def test_what_would_fit_does_and_nothing_smaller_is_left_out(b0):
    limits = PlanLimits(1, 96, 60e6)
    with pytest.raises(ValueError, match="what would fit: ipus=4 or memory_limit=136 MB$"):
        plan_pipelines(b0, MK2, limits)
    assert plan_pipelines(b0, MK2, replace(limits, num_ipus=4), top=1).best.plan.num_stages == 4
    assert plan_pipelines(b0, MK2, replace(limits, memory_limit_bytes=136e6), top=1).ranked
    for less in (replace(limits, num_ipus=2), replace(limits, memory_limit_bytes=134e6)):
        with pytest.raises(ValueError, match="fits nowhere"):
            plan_pipelines(b0, MK2, less)
    tight = PlanLimits(4, 96, 35e6)
    with pytest.raises(ValueError, match="what would fit: offloaded optimiser state or ipus=8 or "):
        plan_pipelines(b0, MK2, tight)
    assert plan_pipelines(b0, MK2, replace(tight, offload_optimizer=True), top=1).ranked


def test_a_limit_above_an_ipus_memory_is_not_proposed(tables):
    layers = load_layer_table(make_spec("b0", group_size=16, norm="gn"), 2048, cache=tables)
    with pytest.raises(ValueError, match="what would fit: a lower resolution or a smaller model$"):
        plan_pipelines(layers, MK2, PlanLimits(1, 96, 500e6, num_stages=1))


def test_rejections_name_the_smallest_micro_batch_that_does_not_fit(b0):
    search = plan_pipelines(b0, MK2, PlanLimits(16), top=2)
    rejected = {r.what: r for r in search.rejected}
    single = rejected["1 stages, micro-batch 12"]
    assert single.demand > single.limit == 550 and "micro-batch under 12" in single.lever


def test_fixed_stages_and_micro_batch_are_kept(b0):
    limits = PlanLimits(16, num_stages=2, micro_batch=6)
    search = plan_pipelines(b0, MK2, limits)
    assert search.num_shapes == len(search.ranked) == 1
    assert search.best.plan.num_stages == 2 and search.best.geometry.micro_batch == 6


def test_large_pods_get_instances_of_64_ipus(b0):
    best = plan_pipelines(b0, MK2, PlanLimits(256, 6144), top=1).best
    assert best.geometry.instances == 4
    assert best.geometry.total_replicas * best.plan.num_stages == 256
    assert "num_ipus" in best.extrapolated


def test_the_less_is_known_of_a_step_the_larger_the_expected_error(b0):
    plan = PipelinePlan.from_splits([])
    found = [estimate_plan(b0, plan, BatchGeometry(6, a, 64, 1, 2), MK2) for a in (64, 4, 1)]
    shares = [estimate.time.allreduce_s / estimate.step_s for estimate in found]
    assert shares[0] < 0.1 < shares[1] < shares[2]
    assert [estimate.extrapolated for estimate in found] == [
        ("stages", "num_ipus"),
        *2 * [("stages", "num_ipus", "allreduce")],
    ]
    errors = [estimate.error_pct for estimate in found]
    assert errors[0] < errors[1] < errors[2] and errors[2] > 50 * shares[2]


def test_too_little_accumulation_and_bad_limits_are_refused(b0):
    with pytest.raises(ValueError, match="accumulation=2: .*2 stages needs 3 or more"):
        estimate_plan(b0, PipelinePlan.from_splits(["block3b"]), BatchGeometry(1, 2), MK2)
    for bad in ({"global_batch": 0}, {"memory_limit_bytes": 0.0}, {"memory_limit_bytes": 1e9}):
        with pytest.raises(ValueError, match="must be"):
            PlanLimits(4, **bad)
    with pytest.raises(ValueError, match="top=0"):
        plan_pipelines(b0, MK2, PlanLimits(4), top=0)
