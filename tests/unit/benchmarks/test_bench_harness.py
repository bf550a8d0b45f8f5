"""Turns, spreads and ratios, on a clock of our own."""

from __future__ import annotations

from typing import Dict, List

import pytest

from benchmarks.measure.harness import Spread, fastest_of, ratio, significant, take_turns, timed


class Clock:
    """Time that only moves when something takes some."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_timed_counts_only_its_own_work() -> None:
    clock = Clock()

    def work() -> None:
        clock.now += 2.5

    turn = timed(work, clock)
    clock.now += 40
    assert turn() == 2.5


def test_turns_alternate_and_warm_up_is_not_kept() -> None:
    order: List[str] = []
    takes: Dict[str, List[float]] = {"a": [9.0, 1.0, 2.0, 3.0], "b": [9.0, 4.0, 5.0, 6.0]}

    def turn_of(name: str):
        def turn() -> float:
            order.append(name)
            return takes[name][order.count(name) - 1]

        return turn

    seconds = take_turns({"a": turn_of("a"), "b": turn_of("b")}, rounds=3, warm_up=1)
    assert seconds == {"a": [1.0, 2.0, 3.0], "b": [4.0, 5.0, 6.0]}
    assert "".join(order) in ("baabbaab", "abbaabba")  # every other round in reverse


def test_a_budget_ends_it_after_three_rounds_at_the_earliest() -> None:
    clock = Clock()

    def turn() -> float:
        clock.now += 10
        return 10.0

    assert len(take_turns({"a": turn}, rounds=50, budget_s=1.0, clock=clock)["a"]) == 3
    assert len(take_turns({"a": turn}, rounds=50, budget_s=100.0, clock=clock)["a"]) == 10


def test_a_slow_machine_cancels_in_the_ratio() -> None:
    drift = [1.0, 2.0, 4.0, 8.0]  # the whole machine gets slower
    found = ratio([3.0 * each for each in drift], [2.0 * each for each in drift])
    assert (found.median, found.low, found.high, found.repeats) == (1.5, 1.5, 1.5, 4)
    with pytest.raises(ValueError, match="same rounds"):
        ratio([1.0], [1.0, 2.0])


def test_spread_gives_values_that_were_seen() -> None:
    spread = Spread.of([5.0, 1.0, 4.0, 2.0, 3.0])
    assert (spread.median, spread.low, spread.high) == (3.0, 2.0, 4.0)
    assert spread.to_dict() == {"median": 3.0, "low": 2.0, "high": 4.0, "repeats": 5}
    with pytest.raises(ValueError, match="at least one"):
        Spread.of([])


def test_fastest_and_digits() -> None:
    assert fastest_of({"x": [3.0, 3.0], "y": [2.0, 4.0, 2.0]})[0] == "y"
    assert significant(123456.0) == 123500.0
    assert significant(0.00012345) == 0.0001234 or significant(0.00012345) == 0.0001235
