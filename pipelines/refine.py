"""From the best bottleneck to the best step: ramps, all-reduce and update also depend on where the cuts
are.

``refine`` searches all partitions that a lower bound cannot rule out, depth first, and says whether it got
through; where the tree is too large it ends with the best that moving cuts can reach.
"""

from __future__ import annotations

from typing import Callable, Iterable, List, Sequence, Tuple

from pipelines.cuts import Chain, Cuts

Seconds = Callable[[Cuts], float]


def refine(
    chain: Chain, starts: Iterable[Cuts], seconds: Seconds, *, accumulation: int, max_nodes: int
) -> Tuple[Cuts, bool]:
    """Return a partition at least as fast as any of ``starts``, and whether no partition that fits is faster.

    ``seconds`` is what a step takes; beside the pipeline it may hold anything that is not negative.
    """
    cuts = min((move_cuts(chain, start, seconds) for start in starts), key=seconds)
    if max_nodes == 0:
        return cuts, False
    search = _Search(chain, cuts, seconds, accumulation=accumulation, max_nodes=max_nodes)
    search.run()
    return search.best, search.nodes <= max_nodes


def move_cuts(chain: Chain, start: Cuts, seconds: Seconds) -> Cuts:
    """Move single cuts, and neighbouring cuts together, as long as that makes the step faster."""
    best, best_s = start, seconds(start)
    previous = None
    while best != previous:
        previous = best
        for left, right, step in _moves(len(start)):
            candidate = tuple(c + step if left <= k <= right else c for k, c in enumerate(best))
            if chain.fits(candidate):
                candidate_s = seconds(candidate)
                if candidate_s < best_s:
                    best, best_s = candidate, candidate_s
    return best


def _moves(num_cuts: int) -> List[Tuple[int, int, int]]:
    """Which cuts, first to last, move how far; the two ends of the chain stay."""
    inner = range(1, num_cuts - 1)
    spans = [(left, right) for left in inner for right in (left, left + 1) if right in inner]
    return [(left, right, step) for left, right in spans for step in (1, -1)]


class _Search:
    """Depth-first branch and bound over cuts, left to right.

    The lower bound pairs ramp slots. Of first phases, those in which the pipeline fills with forwards and
    those in which it drains wait for a prefix of the stages, forward in one and recomputation in the other,
    so together at least for the prefix's longest first phase; the other two ramps, for a prefix in one and
    a suffix in the other, so together at least for the longest of all. Of second phases, likewise, each
    pair waits for the longest of all.
    """

    def __init__(
        self, chain: Chain, best: Cuts, seconds: Seconds, *, accumulation: int, max_nodes: int
    ) -> None:
        self.chain, self.seconds, self.max_nodes = chain, seconds, max_nodes
        self.best, self.best_s = best, seconds(best)
        self.nodes = 0
        self.ramp = chain.num_stages - 1
        self.accumulation = accumulation
        self.first_rest = suffix_bottlenecks(chain, is_first=True)
        self.second_rest = suffix_bottlenecks(chain, is_first=False)

    def run(self) -> None:
        """Visit every partition whose lower bound is under the best step so far, up to the node limit."""
        self._visit([0], (0.0, 0.0), 0.0)

    def _visit(self, cuts: List[int], longest: Tuple[float, float], prefixes: float) -> None:
        stage, start = len(cuts) - 1, cuts[-1]
        chain = self.chain
        if stage == self.ramp:
            if chain.reach[stage][start] >= chain.num_atoms:
                self._offer((*cuts, chain.num_atoms))
            return
        stop_at = min(chain.reach[stage][start], chain.num_atoms - (self.ramp - stage))
        for stop in range(start + 1, stop_at + 1):
            self.nodes += 1
            first = max(longest[0], chain.first[start][stop])
            if self.nodes > self.max_nodes or (self.accumulation - self.ramp) * first > self.best_s:
                return
            second = max(longest[1], chain.second[start][stop])
            bound = self._bound(stage + 1, stop, (first, second), prefixes + first)
            if bound < self.best_s:
                self._visit([*cuts, stop], (first, second), prefixes + first)

    def _bound(self, stage: int, start: int, longest: Tuple[float, float], prefixes: float) -> float:
        first = max(longest[0], self.first_rest[stage][start])
        second = max(longest[1], self.second_rest[stage][start])
        still = (self.ramp - stage) * longest[0]
        return (self.accumulation - self.ramp) * first + prefixes + still + self.accumulation * second

    def _offer(self, cuts: Cuts) -> None:
        candidate_s = self.seconds(cuts)
        if candidate_s < self.best_s:
            self.best, self.best_s = cuts, candidate_s


def suffix_bottlenecks(chain: Chain, *, is_first: bool) -> Sequence[Sequence[float]]:
    """Return, per stage s and start i, the least bottleneck of one phase if stages s.. hold the sub-blocks
    i.. .
    """
    size = chain.num_atoms
    infinity = float("inf")
    row = [infinity] * (size + 1)
    for start in range(size):
        if chain.reach[-1][start] >= size:
            row[start] = chain.first_last[start] if is_first else chain.second[start][size]
    rows = [row]
    for stage in range(chain.num_stages - 2, -1, -1):
        matrix = chain.first if is_first else chain.second
        later, row = rows[0], [infinity] * (size + 1)
        for start in range(size):
            stop_at = chain.reach[stage][start] + 1
            pairs = zip(matrix[start][start + 1 : stop_at], later[start + 1 : stop_at])
            row[start] = min(map(max, pairs), default=infinity)
        rows.insert(0, row)
    return rows
