"""Where to cut a chain of sub-blocks into stages so that the slowest stage of each phase is as fast as
possible.

A lock-step slot has two phases, so the bottleneck is a sum of two maxima: max over stages of the first
phase (forward and recomputation) plus max of the second (backward). For a bound on the first, dynamic
programming over cut positions gives the least second; sweeping the bound from loose to tight visits every
trade-off between the two. Cuts are positions: stage s holds the sub-blocks cuts[s] up to cuts[s + 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, List, Mapping, Optional, Sequence, Tuple, Union

Cuts = Tuple[int, ...]
Matrix = Sequence[Sequence[float]]
Row = Union[Sequence[float], Mapping[int, float]]
_INFINITY = float("inf")


@dataclass(frozen=True)
class Chain:
    """What stages of a chain of N sub-blocks would cost.

    ``first[i][j]`` and ``second[i][j]`` are the seconds of a stage with the sub-blocks i to j - 1 in the
    two phases; ``first_last[i]`` is the first phase of the last stage (not recomputed) from i to the end.
    ``reach[s][i]`` is the largest j for which stage s fits its IPU when it begins at i (i itself: not even
    one sub-block fits). ``first[i][j]`` must not fall as j grows.
    """

    first: Matrix
    second: Matrix
    first_last: Sequence[float]
    reach: Sequence[Sequence[int]]

    @property
    def num_atoms(self) -> int:
        """Number of sub-blocks, N."""
        return len(self.first_last)

    @property
    def num_stages(self) -> int:
        """Number of stages, S."""
        return len(self.reach)

    def first_phase(self, stage: int, start: int, stop: int) -> float:
        """Seconds of a stage's first phase."""
        return self.first_last[start] if stage == self.num_stages - 1 else self.first[start][stop]

    def bottleneck(self, cuts: Cuts) -> Tuple[float, float]:
        """Return the longest first and the longest second phase of a partition."""
        spans = list(zip(range(self.num_stages), cuts, cuts[1:]))
        return max(self.first_phase(*span) for span in spans), max(self.second[i][j] for _, i, j in spans)

    def fits(self, cuts: Cuts) -> bool:
        """Whether every stage has a sub-block and fits its IPU."""
        spans = zip(range(self.num_stages), cuts, cuts[1:])
        return all(start < stop <= self.reach[stage][start] for stage, start, stop in spans)


def trade_offs(chain: Chain) -> Iterator[Cuts]:
    """Yield partitions on the front of (first, second) bottlenecks, the second one rising; none if nothing
    fits.

    Stops where no later one can have a smaller sum. The best of them by sum is optimal.
    """
    fastest = least_first(chain)
    if fastest is None:
        return
    floor = chain.bottleneck(fastest)[0]
    bound, best_sum = _INFINITY, _INFINITY
    while True:
        cuts = least_second(chain, bound, best_sum - floor)
        if cuts is None:
            return
        first, second = chain.bottleneck(cuts)
        yield cuts
        best_sum = min(best_sum, first + second)
        bound = first  # the next one must be strictly below


def best_partition(chain: Chain) -> Optional[Cuts]:
    """Return a partition with the least sum of the two bottlenecks; None if nothing fits."""
    return min(trade_offs(chain), key=lambda cuts: sum(chain.bottleneck(cuts)), default=None)


def least_second(chain: Chain, first_below: float, second_below: float = _INFINITY) -> Optional[Cuts]:
    """Return the partition with the least second bottleneck among those whose first one is under a bound.

    None where there is none with a second bottleneck under ``second_below``.
    """
    return _programme(chain, second_below, first_below, is_swapped=False)


def least_first(chain: Chain) -> Optional[Cuts]:
    """Return the partition with the least first bottleneck, whatever its second is; None if nothing fits."""
    return _programme(chain, _INFINITY, _INFINITY, is_swapped=True)


def _programme(chain: Chain, below: float, other_below: float, *, is_swapped: bool) -> Optional[Cuts]:
    """Minimise the maximum of one phase (second, or first if swapped) under strict bounds on both."""
    num_atoms = chain.num_atoms
    values = [_INFINITY] * (num_atoms + 1)
    values[0] = -_INFINITY
    origins: List[List[int]] = []
    for stage in range(chain.num_stages):
        ends = [_INFINITY] * (num_atoms + 1)
        origin = [0] * (num_atoms + 1)
        for start in range(num_atoms):
            if values[start] < below:
                stops, first, second = _options(chain, stage, start)
                wanted, other = (first, second) if is_swapped else (second, first)
                for stop in stops:
                    if other[stop] >= other_below:
                        break  # a first phase only grows with its stage; a second one is never bounded here
                    longest = max(wanted[stop], values[start])
                    if longest < ends[stop] and longest < below:
                        ends[stop], origin[stop] = longest, start
        values = ends
        origins.append(origin)
    if values[num_atoms] == _INFINITY:
        return None
    cuts = [num_atoms]
    for origin in reversed(origins):
        cuts.append(origin[cuts[-1]])
    return tuple(reversed(cuts))


def _options(chain: Chain, stage: int, start: int) -> Tuple[range, Row, Row]:
    """Where a stage that begins at ``start`` may stop, and its two phases by stop."""
    num_atoms = chain.num_atoms
    if stage == chain.num_stages - 1:
        fits = chain.reach[stage][start] >= num_atoms
        stops = range(num_atoms, num_atoms + 1) if fits else range(0)
        return stops, {num_atoms: chain.first_last[start]}, chain.second[start]
    later = chain.num_stages - 1 - stage
    last = min(chain.reach[stage][start], num_atoms - later)
    return range(start + 1, last + 1), chain.first[start], chain.second[start]
