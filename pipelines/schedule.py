"""How the stages of a replica share time: grouped, interleaved and sequential schedules, in lock-step.

All IPUs of a replica wait for each other between phases, so a phase lasts as long as its slowest stage.
Stages are numbered 0 to S-1, micro-batches 0 to A-1.

* grouped: every slot is a phase of forwards (with the recomputation of what the next phase differentiates),
  then a phase of backwards. Stage s runs forward micro-batch t - s and backward micro-batch t - (2(S-1) -
  s) in slot t, so a step has A + 2(S-1) slots, of which the first and last are ramps (popart,
  docs/notes/transforms/pipelining.md).
* interleaved: neighbours alternate, one forward while the other runs backward; fewer micro-batches in
  flight.
* sequential: one stage at a time (sharded execution).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import Callable, Dict, Iterator, List, Sequence, Tuple


@dataclass(frozen=True)
class StageTimes:
    """Seconds of one stage for one micro-batch; ``recompute_s`` is 0 where nothing is recomputed."""

    forward_s: float
    recompute_s: float
    backward_s: float

    @property
    def total_s(self) -> float:
        """What the stage is busy with one micro-batch."""
        return self.forward_s + self.recompute_s + self.backward_s


@dataclass(frozen=True)
class Task:
    """One stage's work on one micro-batch in a phase; ``kind`` is forward, recompute or backward."""

    stage: int
    kind: str
    micro_batch: int
    duration_s: float


Phase = Tuple[Task, ...]
Phases = Iterator[Phase]


def stash_depth(schedule: str, stage: int, num_stages: int) -> int:
    """Return how many inputs of its own a stage keeps at the most: micro-batches in flight behind it."""
    if schedule == "grouped":
        return 2 * (num_stages - 1 - stage) + 1
    return num_stages - stage if schedule == "interleaved" else 1


def pipeline_phases(times: Sequence[StageTimes], accumulation: int, schedule: str) -> Phases:
    """Yield the phases of one step in order; the tasks of one stage within a phase follow each other."""
    if schedule not in _PHASES:
        raise ValueError(f"schedule={schedule!r}: choose one of {', '.join(_PHASES)}")
    if accumulation < 1:
        raise ValueError(f"accumulation={accumulation}: must be 1 or more")
    return _PHASES[schedule](times, accumulation)


def phase_seconds(phase: Phase) -> float:
    """Return how long a phase lasts: as long as its busiest stage."""
    busy: Dict[int, float] = {}
    for task in phase:
        busy[task.stage] = busy.get(task.stage, 0.0) + task.duration_s
    return max(busy.values(), default=0.0)


def pipeline_seconds(times: Sequence[StageTimes], accumulation: int, schedule: str) -> float:
    """Return the seconds of one step's micro-batches, ramps included.

    Once every stage has work, each further micro-batch costs the same, so long steps are extended, not
    simulated.
    """
    if schedule == "grouped" and accumulation >= 2 * len(times) - 1:
        columns = (
            [t.forward_s for t in times],
            [t.recompute_s for t in times],
            [t.backward_s for t in times],
        )
        return grouped_seconds(*columns, accumulation)
    full = 2 * len(times)
    if accumulation <= full:
        return sum(map(phase_seconds, pipeline_phases(times, accumulation, schedule)))
    steady = steady_seconds(times, schedule)
    return pipeline_seconds(times, full, schedule) + (accumulation - full) * steady


def grouped_seconds(
    forward: Sequence[float], recompute: Sequence[float], backward: Sequence[float], accumulation: int
) -> float:
    """Return what the phases of a grouped schedule add up to, for accumulation >= 2S - 1, in O(S).

    A ramp slot waits only for the stages that are active in it: the first ones while the pipeline fills with
    forwards, the last ones where the backwards begin, and the other way round at the end.
    """
    num_stages = len(forward)
    both = [f + r for f, r in zip(forward, recompute)]
    first_forward = list(accumulate(forward, max))
    first_recompute = list(accumulate(recompute, max))
    first_backward = list(accumulate(backward, max))
    last_both = list(accumulate(reversed(both), max))[::-1]
    last_backward = list(accumulate(reversed(backward), max))[::-1]
    longest = last_backward[0]
    total = (accumulation - 2 * num_stages + 2) * (last_both[0] + longest)
    for cut in range(1, num_stages):
        total += first_forward[cut - 1]
        total += max(first_forward[cut - 1], last_both[cut]) + last_backward[cut]
        total += max(first_recompute[cut - 1], last_both[cut]) + longest
        total += first_recompute[cut - 1] + first_backward[cut - 1]
    return total


def steady_seconds(times: Sequence[StageTimes], schedule: str) -> float:
    """Return the seconds that one more micro-batch adds to a long step."""
    if schedule == "grouped":
        return max(t.forward_s + t.recompute_s for t in times) + max(t.backward_s for t in times)
    if schedule == "sequential":
        return sum(t.total_s for t in times)
    forward = [t.forward_s for t in times]
    backward = [t.recompute_s + t.backward_s for t in times]
    even = [backward[s] if s % 2 else forward[s] for s in range(len(times))]
    odd = [forward[s] if s % 2 else backward[s] for s in range(len(times))]
    return max(even) + max(odd)


def _grouped(times: Sequence[StageTimes], accumulation: int) -> Phases:
    num_stages = len(times)
    for slot in range(accumulation + 2 * (num_stages - 1)):
        first: List[Task] = []
        second: List[Task] = []
        for stage, seconds in enumerate(times):
            ahead, behind = slot - stage, slot - (2 * (num_stages - 1) - stage)
            if 0 <= ahead < accumulation:
                first.append(Task(stage, "forward", ahead, seconds.forward_s))
            if 0 <= behind < accumulation:
                if seconds.recompute_s > 0:
                    first.append(Task(stage, "recompute", behind, seconds.recompute_s))
                second.append(Task(stage, "backward", behind, seconds.backward_s))
        yield tuple(first)
        yield tuple(second)


def _interleaved(times: Sequence[StageTimes], accumulation: int) -> Phases:
    num_stages = len(times)
    for index in range(2 * (accumulation + num_stages - 1)):
        tasks: List[Task] = []
        for stage, seconds in enumerate(times):
            ahead, behind = index - stage, index - (2 * num_stages - 1 - stage)
            if ahead % 2 == 0 and 0 <= ahead < 2 * accumulation:
                tasks.append(Task(stage, "forward", ahead // 2, seconds.forward_s))
            if behind % 2 == 0 and 0 <= behind < 2 * accumulation:
                tasks += _backward(seconds, stage, behind // 2)
        yield tuple(tasks)


def _sequential(times: Sequence[StageTimes], accumulation: int) -> Phases:
    for micro_batch in range(accumulation):
        for stage, seconds in enumerate(times):
            yield (Task(stage, "forward", micro_batch, seconds.forward_s),)
        for stage in reversed(range(len(times))):
            yield tuple(_backward(times[stage], stage, micro_batch))


def _backward(seconds: StageTimes, stage: int, micro_batch: int) -> List[Task]:
    recompute = (
        [Task(stage, "recompute", micro_batch, seconds.recompute_s)] if seconds.recompute_s > 0 else []
    )
    return [*recompute, Task(stage, "backward", micro_batch, seconds.backward_s)]


_PHASES: Dict[str, Callable[[Sequence[StageTimes], int], Phases]] = {
    "grouped": _grouped,
    "interleaved": _interleaved,
    "sequential": _sequential,
}
