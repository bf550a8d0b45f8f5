"""How times are taken: warm-up apart, contestants in turns, medians with quartiles. No torch.

Whatever else the machine does meanwhile falls on all contestants of a round alike, so the ratio of two is the
median of the rounds' ratios, not the ratio of two medians.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

Clock = Callable[[], float]
Turn = Callable[[], float]  # does its work once and returns the seconds that it took


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of repeated measurements, in the unit of what was measured."""

    median: float
    low: float
    high: float
    repeats: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise at least one value; the quartiles are values that were seen."""
        if not values:
            raise ValueError("values=[]: a measurement needs at least one repeat")
        ordered = sorted(values)
        last = len(ordered) - 1
        low, high = ordered[round(last * 0.25)], ordered[round(last * 0.75)]
        return cls(statistics.median(ordered), low, high, len(ordered))

    def to_dict(self, digits: int = 4) -> Dict[str, Any]:
        """Return plain data for JSON, rounded to ``digits`` significant digits."""
        values = {"median": self.median, "low": self.low, "high": self.high}
        return {
            **{name: significant(value, digits) for name, value in values.items()},
            "repeats": self.repeats,
        }


def significant(value: float, digits: int = 4) -> float:
    """Round to so many significant digits."""
    return float(f"{value:.{digits}g}")


def timed(work: Callable[[], Any], clock: Clock = time.perf_counter) -> Turn:
    """Return a turn that does ``work`` and tells its seconds by ``clock``."""

    def turn() -> float:
        started = clock()
        work()
        return clock() - started

    return turn


def take_turns(
    contestants: Mapping[str, Turn],
    *,
    rounds: int,
    warm_up: int = 1,
    budget_s: Optional[float] = None,
    clock: Clock = time.monotonic,
) -> Dict[str, List[float]]:
    """Let all contestants work once per round, every other round in reverse; returns seconds per round.

    ``warm_up`` rounds are not kept. ``budget_s`` ends it early, but never before three rounds.
    """
    if rounds < 1:
        raise ValueError(f"rounds={rounds}: must be 1 or more")
    seconds: Dict[str, List[float]] = {name: [] for name in contestants}
    started = clock()
    for number in range(-warm_up, rounds):
        if budget_s is not None and number >= 3 and clock() - started > budget_s:
            break
        order = list(contestants) if number % 2 == 0 else list(contestants)[::-1]
        for name in order:
            taken = contestants[name]()
            if number >= 0:
                seconds[name].append(taken)
    return seconds


def ratio(numerator: Sequence[float], denominator: Sequence[float]) -> Spread:
    """Return the spread of the rounds' ratios of two contestants of the same rounds."""
    if len(numerator) != len(denominator):
        raise ValueError(f"rounds={len(numerator)} and {len(denominator)}: a ratio needs the same rounds")
    return Spread.of([one / other for one, other in zip(numerator, denominator)])


def fastest_of(contestants: Mapping[str, Sequence[float]]) -> Tuple[str, Sequence[float]]:
    """Return the contestant with the smallest median, with its seconds."""
    name = min(contestants, key=lambda each: statistics.median(contestants[each]))
    return name, contestants[name]
