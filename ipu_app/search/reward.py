"""What a candidate is worth: accuracy, step time and size in one number, or as a Pareto set with ties.

The reward is that of the search behind EfficientNetV2 (arXiv 2104.00298, section 3.2): A * S^w * P^v with
w = -0.07 and v = -0.05. The units of S and P do not change the order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Sequence

TIME_EXPONENT, SIZE_EXPONENT = -0.07, -0.05


def reward(
    accuracy: float,
    step_time: float,
    parameters: float,
    time_exponent: float = TIME_EXPONENT,
    size_exponent: float = SIZE_EXPONENT,
) -> float:
    """Return accuracy * step_time^time_exponent * parameters^size_exponent.

    ``step_time`` and ``parameters`` in any unit, or over those of a reference. Refuses times and sizes that
    are not above 0.
    """
    for name, value in (("step_time", step_time), ("parameters", parameters)):
        if not value > 0:
            raise ValueError(f"{name}={value!r}: must be above 0")
    return float(accuracy * step_time**time_exponent * parameters**size_exponent)


@dataclass(frozen=True)
class Merits:
    """What candidates are compared by: accuracy (or its proxy) up, seconds an image and parameters down."""

    accuracy: float
    step_time: float
    parameters: float


def dominates(one: Merits, other: Merits, *, tie_pct: float) -> bool:
    """Tell whether ``one`` is at least as good in all and better in one.

    Step times within ``tie_pct`` per cent of the smaller one are equal: the estimate can not tell them apart.
    """
    slower, faster = max(one.step_time, other.step_time), min(one.step_time, other.step_time)
    is_tie = slower <= faster * (1 + tie_pct / 100)
    no_slower = is_tie or one.step_time < other.step_time
    no_worse = one.accuracy >= other.accuracy and one.parameters <= other.parameters and no_slower
    better_time = not is_tie and one.step_time < other.step_time
    return no_worse and (one.accuracy > other.accuracy or one.parameters < other.parameters or better_time)


def pareto_set(merits: Sequence[Merits], *, tie_pct: float = 0.0) -> List[int]:
    """Return the places of the candidates that no other one dominates, in their order.

    Equal ones all stay. With ties a cycle of candidates can dominate each other; then the fastest
    stays.
    """
    kept = [
        index
        for index, one in enumerate(merits)
        if not any(
            dominates(other, one, tie_pct=tie_pct) for place, other in enumerate(merits) if place != index
        )
    ]
    if kept or not merits:
        return kept
    return [min(range(len(merits)), key=lambda index: merits[index].step_time)]


def tie_classes(step_times: Sequence[float], tie_pct: float) -> List[int]:
    """Return for each candidate the number, from 0 for the fastest, of its class of indistinguishable times.

    A class begins at its fastest member and holds what is within ``tie_pct`` per cent of that.
    """
    order = sorted(range(len(step_times)), key=lambda index: step_times[index])
    classes, start, number = [0] * len(step_times), 0.0, -1
    for index in order:
        if number < 0 or step_times[index] > start * (1 + tie_pct / 100):
            start, number = step_times[index], number + 1
        classes[index] = number
    return classes
