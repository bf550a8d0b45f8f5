"""Mean and spread over seeds, and when a difference is called one."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Sequence


@dataclass(frozen=True)
class Sample:
    """Values of one quantity over seeds: their mean and standard deviation (n - 1; 0 for one value)."""

    mean: float
    std: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Sample:
        """Return mean and spread of values."""
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        return cls(statistics.fmean(values), spread)

    def percent(self) -> str:
        """Return a share (0..1) as text, in percent."""
        return f"{100 * self.mean:.1f} ± {100 * self.std:.1f} %"


def compare_paired(a: Sequence[float], b: Sequence[float]) -> int:
    """Return what ``compare`` does, of values that belong together in pairs, as of one network tested twice.

    Clearly: the mean of the pairs' differences is more than twice their standard deviation.
    """
    differences = Sample.of([x - y for x, y in zip(a, b)])
    if abs(differences.mean) <= 2 * differences.std or differences.mean == 0:
        return 0
    return 1 if differences.mean > 0 else -1


def compare(a: Sample, b: Sample) -> int:
    """Return 1 where a is clearly above b, -1 where clearly below, else 0.

    Clearly: the means are farther apart than the two standard deviations together.
    """
    if abs(a.mean - b.mean) <= a.std + b.std:
        return 0
    return 1 if a.mean > b.mean else -1
