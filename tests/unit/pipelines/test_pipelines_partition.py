"""Partitions: dynamic programming and branch and bound against brute force."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

from pipelines.cuts import Chain, best_partition, least_first, least_second, trade_offs
from pipelines.refine import move_cuts, refine, suffix_bottlenecks
from pipelines.schedule import grouped_seconds


def random_chain(seed):
    """A chain with random costs, boundary costs and memory limits; returns it with its stage columns."""
    draw = random.Random(seed)
    size, stages = draw.randint(1, 9), draw.randint(1, 4)
    forward = [draw.uniform(0.1, 2.0) for _ in range(size)]
    backward = [draw.uniform(0.1, 4.0) for _ in range(size)]
    arriving = [draw.uniform(0.0, 0.5) for _ in range(size)]
    returning = [draw.uniform(0.0, 0.5) for _ in range(size)] + [0.0]
    first = [[2 * sum(forward[i:j]) + arriving[i] for j in range(size + 1)] for i in range(size)]
    second = [[sum(backward[i:j]) + returning[j] for j in range(size + 1)] for i in range(size)]
    first_last = [sum(forward[i:]) + arriving[i] for i in range(size)]
    reach = [[draw.randint(i + 1, size) if draw.random() < 0.4 else size for i in range(size)]] * stages

    def columns(cuts):
        spans = list(zip(cuts, cuts[1:]))
        redone = [sum(forward[i:j]) if j < size else 0.0 for i, j in spans]
        fresh = [sum(forward[i:j]) + arriving[i] for i, j in spans]
        return fresh, redone, [second[i][j] for i, j in spans]

    return Chain(first, second, first_last, reach), columns


def every_partition(chain):
    inner = combinations(range(1, chain.num_atoms), chain.num_stages - 1)
    partitions = ((0, *cuts, chain.num_atoms) for cuts in inner)
    return [cuts for cuts in partitions if chain.fits(cuts)]


@pytest.mark.parametrize("seed", range(200))
def test_the_best_bottleneck_equals_brute_force(seed):
    chain, _ = random_chain(seed)
    partitions = every_partition(chain)
    best = best_partition(chain)
    if not partitions:
        assert best is None
        return
    assert chain.fits(best)
    expected = min(sum(chain.bottleneck(cuts)) for cuts in partitions)
    assert sum(chain.bottleneck(best)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("seed", range(100))
def test_each_phase_alone_equals_brute_force(seed):
    chain, _ = random_chain(seed)
    partitions = every_partition(chain)
    if not partitions:
        assert least_first(chain) is None
        return
    bottlenecks = [chain.bottleneck(cuts) for cuts in partitions]
    first, second = chain.bottleneck(least_first(chain))[0], chain.bottleneck(least_second(chain, 1e9))[1]
    assert (first, second) == (min(b[0] for b in bottlenecks), min(b[1] for b in bottlenecks))
    assert suffix_bottlenecks(chain, is_first=True)[0][0] == pytest.approx(first)
    assert suffix_bottlenecks(chain, is_first=False)[0][0] == pytest.approx(second)


def test_trade_offs_fall_in_the_first_phase_and_rise_in_the_second():
    fronts = [[c.bottleneck(cuts) for cuts in trade_offs(c)] for c, _ in map(random_chain, range(80))]
    assert max(map(len, fronts)) >= 3
    for front in fronts:
        assert [b[0] for b in front] == sorted({b[0] for b in front}, reverse=True)
        assert [b[1] for b in front] == sorted(b[1] for b in front)


@pytest.mark.parametrize("seed", range(200))
def test_refined_steps_equal_brute_force(seed):
    chain, columns = random_chain(seed)
    partitions = every_partition(chain)
    if not partitions:
        return
    accumulation = 2 * chain.num_stages - 1 + seed % 7

    def seconds(cuts):
        return grouped_seconds(*columns(cuts), accumulation) + 0.3 * max(
            b - a for a, b in zip(cuts, cuts[1:])
        )

    start = partitions[seed % len(partitions)]
    cuts, is_optimal = refine(chain, [start], seconds, accumulation=accumulation, max_nodes=100_000)
    assert is_optimal
    assert seconds(cuts) == pytest.approx(min(map(seconds, partitions)), rel=1e-12)


def test_too_few_nodes_are_admitted_and_moving_cuts_never_makes_it_slower():
    chain, columns = next(pair for pair in map(random_chain, range(99)) if len(every_partition(pair[0])) > 30)
    start = every_partition(chain)[-1]

    def seconds(cuts):
        return grouped_seconds(*columns(cuts), 20)

    moved = move_cuts(chain, start, seconds)
    assert chain.fits(moved) and seconds(moved) < seconds(start)
    assert refine(chain, [start], seconds, accumulation=20, max_nodes=1)[1] is False
