"""What is said follows from the numbers: other numbers, other words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.evidence import part_group_size as groups
from benchmarks.evidence import part_half_resolution as half
from benchmarks.evidence import part_micro_batch as micro
from benchmarks.evidence import part_power as power
from benchmarks.evidence.settings import FULL, QUICK
from benchmarks.evidence.spread import Sample, compare, compare_paired

SETTINGS = replace(QUICK, seeds=(0, 1, 2), micro_batches=(2, 32))
WOBBLE = {0: -0.01, 1: 0.0, 2: 0.01}  # of the three seeds: standard deviation 0.01


@pytest.mark.parametrize(
    "low, high, order", [(0.50, 0.53, -1), (0.50, 0.519, 0), (0.50, 0.50, 0), (0.53, 0.50, 1)]
)
def test_a_difference_needs_more_than_both_spreads(low, high, order):
    assert compare(Sample(low, 0.01), Sample(high, 0.01)) == order


def test_a_sample_is_mean_and_standard_deviation():
    assert Sample.of([0.8, 0.9, 1.0]) == Sample(pytest.approx(0.9), pytest.approx(0.1))
    assert Sample.of([0.5]) == Sample(0.5, 0.0)
    assert Sample(0.9123, 0.0049).percent() == "91.2 ± 0.5 %"


def stretch_of(**tops):
    return {"tests": [{"resolution": int(name[1:]), "top1": top} for name, top in tops.items()]}


def micro_rows(values):
    """Rows of top-1 by (norm, micro-batch); those not given are 0.9."""
    return [
        {
            "norm": norm,
            "micro_batch": size,
            "seed": seed,
            "result": [stretch_of(r32=values.get((norm, size), 0.9) + wobble)],
        }
        for norm in micro.NORMS
        for size in SETTINGS.micro_batches
        for seed, wobble in WOBBLE.items()
    ]


def test_batch_norm_is_said_to_lose_only_where_it_does():
    worse = micro.sentences(micro_rows({("bn", 2): 0.7}), {}, SETTINGS)
    assert "BN loses accuracy (90.0 ± 1.0 % to 70.0 ± 1.0 %), as" in worse[0]
    assert "clearly below GN, LN and LN+PN" in worse[0]
    same = micro.sentences(micro_rows({}), {}, SETTINGS)
    assert "BN shows no clear difference" in same[0] and "which is not what" in same[0]
    assert "clearly below none of the others" in same[0]
    better = micro.sentences(micro_rows({("bn", 2): 0.97, ("ln", 2): 0.99}), {}, SETTINGS)
    assert "BN gains accuracy" in better[0] and "which is not what" in better[0]


def test_dependence_on_the_micro_batch_is_said_where_it_is_seen():
    assert "do not depend" in micro.sentences(micro_rows({("bn", 2): 0.7}), {}, SETTINGS)[1]
    assert "LN+PN depend on" in micro.sentences(micro_rows({("ln", 2): 0.8}), {}, SETTINGS)[1]
    best = micro.sentences(micro_rows({("ln_pn", 2): 0.95}), {}, SETTINGS)[2]
    assert "LN+PN has the highest mean (95.0 ± 1.0 %), clearly above" in best and "not clearly above" in best


def power_rows(ends):
    def layers(norm, wobble):
        share = ends[norm] + wobble / 10
        rest = {"instance": 0.2, "spread": 0.8 - share, "spread_varies": 0.0}
        return [
            {"channel": 0.0, "instance": 0.2, "spread": 0.8, "spread_varies": 0.0},
            {"channel": share, **rest},
        ]

    return [
        {"net": "random", "norm": norm, "seed": seed, "result": layers(norm, wobble)}
        for norm in power.NORMS
        for seed, wobble in WOBBLE.items()
    ]


@pytest.mark.parametrize(
    "layer, proxy, said",
    [
        (0.7, 0.02, ["LN collapses", "ends near BN", ": as the paper's random networks show"]),
        (0.3, 0.02, ["does not collapse, but drifts", "ends near BN", "the direction, if not the extent"]),
        (0.01, 0.02, ["does not collapse:", "ends near BN", "which is not what"]),
        (0.7, 0.4, ["LN collapses", "does not end near BN", "which is not what"]),
    ],
)
def test_collapse_is_said_where_it_is_seen(layer, proxy, said):
    rows = power_rows({"bn": 0.0, "gn": 0.2, "in": 0.0, "ln": layer, "ln_pn": proxy})
    sentence = power.sentences(rows, {}, SETTINGS)[0]
    assert all(part in sentence for part in said), sentence


def group_rows(tops):
    return [
        {"group_size": group, "seed": seed, "result": [stretch_of(r32=top + wobble)]}
        for group, top in tops.items()
        for seed, wobble in WOBBLE.items()
    ]


def group_timing(ratios):
    return groups.timing_record(
        {f"G{group}": [ratio, 1.01 * ratio, 0.99 * ratio] for group, ratio in ratios.items()}, FULL
    )


def test_group_sizes_are_ranked_by_what_was_measured():
    timing = group_timing({1: 1.0, 4: 1.5, 16: 0.8, 64: 0.9})
    rows = group_rows({1: 0.90, 4: 0.90, 16: 0.95, 64: 0.90})
    first, pair = groups.sentences(rows, timing, FULL)
    assert "groups of 16 have the highest mean accuracy (95.0 ± 1.0 %), clearly above groups of 1" in first
    assert "shortest step is that of groups of 16, 0.80 times" in first
    assert "more accurate than" in pair and "step is shorter (0.80 times): as the paper" in pair
    slower = groups.sentences(
        group_rows({1: 0.95, 4: 0.9, 16: 0.9, 64: 0.9}), group_timing({1: 1, 4: 2, 16: 3, 64: 4}), FULL
    )
    assert "the paper's starting point" in slower[0] and "which no other size undercuts" in slower[0]
    assert "less accurate than" in slower[1] and "but their step is longer (3.00 times): not as" in slower[1]


def test_group_sizes_cost_the_same():
    costs = [groups.multiply_adds(group) for group in FULL.group_sizes]
    assert FULL.group_sizes == (1, 4, 16, 64) and max(costs) < 1.03 * min(costs)
    for group in FULL.group_sizes:
        spec = groups.wide_net(group)
        assert (spec.group_size, spec.expand_ratio) == (group, groups.EQUAL_COST_RATIOS[group])


def half_rows(matched, below, above, tuned, other=0.9, native=0.9):
    near = {True: below, False: above}
    sweep = {f"r{r}": matched if r == FULL.native else near[r < FULL.native] for r in FULL.sweep}
    rows = []
    for seed, wobble in WOBBLE.items():
        trained = stretch_of(**{name: top + wobble for name, top in sweep.items()})
        ends = [stretch_of(r96=tuned + wobble), stretch_of(r97=other + wobble)]
        rows.append({"training": "native", "seed": seed, "result": [stretch_of(r96=native + wobble)]})
        rows.append({"training": "half", "seed": seed, "result": [trained, *ends]})
    return rows


HALF_TIMING = half.timing_record({"native": [1.0, 2.0], "half": [0.5, 1.0], "fine-tune": [0.4, 0.8]}, FULL)


def test_time_of_half_resolution_counts_the_fine_tuning():
    size, tune = FULL.half_resolution.epochs, FULL.tune_epochs
    assert HALF_TIMING["total_ratio"]["median"] == pytest.approx((0.5 * size + 0.4 * tune) / size, rel=1e-3)
    assert HALF_TIMING["paper_epochs_ratio"]["median"] == pytest.approx((0.5 * 350 + 0.4 * 2) / 350, rel=1e-3)


def test_half_resolution_and_parity_are_judged_by_what_was_measured():
    gain, parity, tuned = half.sentences(half_rows(0.7, 0.5, 0.5, 0.9), HALF_TIMING, FULL)
    assert "which lifts it, from 70.0 ± 1.0 %" in gain and "not clearly different from 90.0" in gain
    assert "96 px, which agrees with 64 modulo 32, has 70.0 ± 1.0 %" in parity
    assert parity.count("clearly more than just") == 2 and "the paper's rule is seen. But above" in parity
    assert "from 3 to 4 pixels a side" in parity and "128 px with 50.0 ± 1.0 %" in parity
    assert "is not clearly different (90.0 ± 1.0 %) from the mismatched" in tuned
    gain, parity, tuned = half.sentences(half_rows(0.5, 0.5, 0.5, 0.8, other=0.7), HALF_TIMING, FULL)
    assert "reaches 80.0 ± 1.0 %, clearly below" in gain
    assert parity.count("not clearly different from just") == 2 and "rule is not seen" in parity
    assert "is still clearly better (80.0 ± 1.0 %) than" in tuned
    _, parity, _ = half.sentences(half_rows(0.7, 0.8, 0.5, 0.9), HALF_TIMING, FULL)
    assert "clearly less than just below" in parity and "rule is seen on one side only" in parity


def test_neighbours_all_break_the_rule():
    assert half.neighbours(FULL) == {"below": [88, 92, 94, 95], "above": [97, 98, 100, 104]}
    assert half.modulus() == 32 and (FULL.native - FULL.half) % 32 == 0
    assert [half.last_map(r) for r in (64, 95, 96, 97)] == [2, 3, 3, 4]


@pytest.mark.parametrize(
    "differences, order",
    [([0.2, 0.2, 0.2], 1), ([0.1, 0.2, 0.3], 0), ([0.0, 0.0, 0.0], 0), ([-0.3, -0.28, -0.32], -1)],
)
def test_pairs_are_compared_by_their_differences(differences, order):
    others = [0.25, 0.5, 0.375]
    assert compare_paired([b + d for b, d in zip(others, differences)], others) == order
