"""Schedules: every task once and in order, the closed form equal to the slots, bubbles that shrink."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.schedule import (
    StageTimes,
    phase_seconds,
    pipeline_phases,
    pipeline_seconds,
    stash_depth,
    steady_seconds,
)

SCHEDULES = ("grouped", "interleaved", "sequential")
SECONDS = st.floats(0.001, 10.0)
STAGES = st.lists(st.builds(StageTimes, SECONDS, SECONDS, SECONDS), min_size=1, max_size=5)


@pytest.mark.parametrize("schedule", SCHEDULES)
@given(times=STAGES, extra=st.integers(0, 12))
@settings(max_examples=60, deadline=None)
def test_the_closed_form_is_what_the_phases_add_up_to(schedule, times, extra):
    accumulation = 2 * len(times) - 1 + extra
    simulated = sum(map(phase_seconds, pipeline_phases(times, accumulation, schedule)))
    assert pipeline_seconds(times, accumulation, schedule) == pytest.approx(simulated)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("num_stages", [1, 2, 4])
def test_every_micro_batch_goes_forward_in_order_then_backward_in_reverse(schedule, num_stages):
    times = [StageTimes(1.0, 1.0, 2.0)] * num_stages
    accumulation = 2 * num_stages + 1
    when = {}
    for index, phase in enumerate(pipeline_phases(times, accumulation, schedule)):
        for place, task in enumerate(phase):
            key = (task.kind, task.stage, task.micro_batch)
            assert key not in when
            when[key] = (index, place)
    assert len(when) == 3 * num_stages * accumulation
    for micro_batch in range(accumulation):
        for stage in range(num_stages):
            assert when["forward", stage, micro_batch] < when["recompute", stage, micro_batch]
            assert when["recompute", stage, micro_batch] < when["backward", stage, micro_batch]
            if stage:
                earlier = when["forward", stage - 1, micro_batch]
                assert earlier[0] < when["forward", stage, micro_batch][0]
                later = when["backward", stage - 1, micro_batch]
                assert when["backward", stage, micro_batch][0] < later[0]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("num_stages", [1, 2, 3, 5])
def test_stash_depth_is_the_most_micro_batches_in_flight(schedule, num_stages):
    most = [0] * num_stages
    held = [set() for _ in range(num_stages)]
    times = [StageTimes(1.0, 0.0, 1.0)] * num_stages
    for phase in pipeline_phases(times, 4 * num_stages, schedule):
        for task in phase:
            if task.kind == "forward":
                held[task.stage].add(task.micro_batch)
        most = [max(a, len(b)) for a, b in zip(most, held)]
        for task in phase:
            if task.kind == "backward":
                held[task.stage].discard(task.micro_batch)
    assert most == [stash_depth(schedule, stage, num_stages) for stage in range(num_stages)]


def test_grouped_slots_are_accumulation_plus_twice_the_stages_less_one():
    times = [StageTimes(1.0, 0.0, 1.0)] * 4
    phases = list(pipeline_phases(times, 10, "grouped"))
    assert len(phases) == 2 * (10 + 2 * 3)


@given(times=STAGES)
@settings(max_examples=40, deadline=None)
def test_the_grouped_bubble_goes_to_nothing_as_accumulation_grows(times):
    steady = steady_seconds(times, "grouped")
    shares = []
    for accumulation in (2 * len(times), 20 * len(times), 2000 * len(times)):
        total = pipeline_seconds(times, accumulation, "grouped")
        shares.append((total - accumulation * steady) / total)
    assert all(share >= -1e-12 for share in shares)
    assert shares[0] >= shares[1] >= shares[2]
    assert shares[2] < 0.002


def test_unknown_schedules_and_empty_steps_are_refused():
    times = [StageTimes(1.0, 0.0, 1.0)]
    with pytest.raises(ValueError, match="schedule='zigzag'"):
        pipeline_phases(times, 1, "zigzag")
    with pytest.raises(ValueError, match="accumulation=0"):
        pipeline_phases(times, 0, "grouped")
