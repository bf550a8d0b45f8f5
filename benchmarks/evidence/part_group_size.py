"""Part (c): groups of 1, 4, 16 and 64 channels at equal multiply-adds: accuracy and time of a step."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Sequence

from benchmarks.evidence.jobs import Job, Row
from benchmarks.evidence.settings import Settings
from benchmarks.evidence.spread import Sample, compare
from benchmarks.evidence.timing import Steps, ratios_to
from benchmarks.evidence.training import EQUAL_COST_RATIOS, Stretch, TrainingCase, wide_net
from ipu_app.models.counts import count_multiply_adds, count_parameters

NAME = "group_size"
RESOLUTION = 32


def jobs(settings: Settings) -> List[Job]:
    """Return one training for each group size and seed."""
    return [
        Job(
            {"part": NAME, "group_size": group, "multiply_adds": multiply_adds(group), "seed": seed},
            _case(settings, group, seed),
        )
        for group in settings.group_sizes
        for seed in settings.seeds
    ]


def _case(settings: Settings, group: int, seed: int) -> TrainingCase:
    size = settings.group_size
    return TrainingCase(
        net="wide",
        options={"group_size": group},
        seed=seed,
        stretches=(Stretch(size.epochs, RESOLUTION, size.lr, (RESOLUTION,)),),
        images=size.images,
        test_images=size.test_images,
        micro_batch=size.global_batch,
        global_batch=size.global_batch,
    )


def steps(settings: Settings) -> Steps:
    """Return a training step of each group size, to be timed in turns."""
    cases = [_case(settings, group, settings.seeds[0]) for group in settings.group_sizes]
    return {f"G{case.spec.group_size}": (case, case.stretches[0]) for case in cases}


def multiply_adds(group: int) -> int:
    """Return the forward multiply-adds of one image."""
    return sum(count_multiply_adds(wide_net(group), RESOLUTION).values())


def accuracy(rows: Sequence[Row], group: int) -> Sample:
    """Return top-1 over the seeds."""
    return Sample.of([row["result"][0]["tests"][0]["top1"] for row in rows if row["group_size"] == group])


def sentences(rows: Sequence[Row], timing: Mapping[str, Any], settings: Settings) -> List[str]:
    """Return which group size is the most accurate and which the fastest, and whether that is clear."""
    groups = list(settings.group_sizes)
    ranked = sorted(groups, key=lambda group: -accuracy(rows, group).mean)
    best, first = ranked[0], groups[0]
    against = compare(accuracy(rows, best), accuracy(rows, first))
    fastest = min(groups, key=lambda group: float(timing[f"G{group}"]["median_s"]))
    most = max(abs(multiply_adds(group) / multiply_adds(first) - 1) for group in groups)
    return [
        f"At multiply-adds equal within {100 * most:.1f} %, groups of {best} have the highest mean accuracy "
        f"({accuracy(rows, best).percent()}), {_against(best, first, against, rows)}; the shortest step is "
        f"that of groups of {fastest}, {_speed(timing, fastest, first)} on this processor, which says little "
        "about an IPU's.",
        _paper_pair(rows, timing, groups),
    ]


def _against(best: int, first: int, against: int, rows: Sequence[Row]) -> str:
    if best == first:
        return "the paper's starting point"
    clear = "clearly" if against > 0 else "not clearly"
    return f"{clear} above groups of {first} ({accuracy(rows, first).percent()})"


def _speed(timing: Mapping[str, Any], group: int, first: int) -> str:
    if group == first:
        return "which no other size undercuts"
    ratio = timing[f"G{group}"]["ratio"]
    return (
        f"{ratio['median']:.2f} times that of groups of {first} "
        f"(quartiles {ratio['low']:.2f} to {ratio['high']:.2f})"
    )


def _paper_pair(rows: Sequence[Row], timing: Mapping[str, Any], groups: Sequence[int]) -> str:
    """What is seen of the paper's own choice, groups of 16 instead of 1."""
    if not {1, 16} <= set(groups):
        return "Groups of 16 were not part of this run."
    above = compare(accuracy(rows, 16), accuracy(rows, 1))
    ratio = timing["G16"]["ratio"]
    faster = -1 if ratio["high"] < 1 else 1 if ratio["low"] > 1 else 0
    accurate = {1: "more accurate than", 0: "as accurate as (within the spread)", -1: "less accurate than"}[
        above
    ]
    time = {
        -1: "and their step is shorter",
        0: "and their step is not clearly shorter or longer",
        1: "but their step is longer",
    }
    agrees = "as" if above >= 0 and faster < 0 else "not as"
    return (
        f"The paper's choice, groups of 16 with ratio 4, is {accurate} groups of 1 with ratio 6 here, "
        f"{time[faster]} ({ratio['median']:.2f} times): {agrees} the paper has it on IPUs."
    )


def tables(rows: Sequence[Row], timing: Mapping[str, Any], settings: Settings) -> List[str]:
    """Return accuracy and step time by group size."""
    head = (
        "| group size | expand ratio | M multiply-adds | M parameters | top-1 | step, ms | times groups of "
    )
    lines = ["", "Top-1 of the validation images and time of a training step of "]
    lines[-1] += f"{settings.group_size.global_batch} images on one core, both measured; counts computed:"
    lines += ["", f"{head}{settings.group_sizes[0]} |", "|---:|---:|---:|---:|---:|---:|---:|"]
    for group in settings.group_sizes:
        ratio, median = timing[f"G{group}"]["ratio"], timing[f"G{group}"]["median_s"]
        counts = multiply_adds(group) / 1e6, sum(count_parameters(wide_net(group)).values()) / 1e6
        lines += [
            f"| {group} | {EQUAL_COST_RATIOS[group]:g} | {counts[0]:.1f} | {counts[1]:.2f} "
            f"| {accuracy(rows, group).percent()} | {1000 * median:.0f} "
            f"| {ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f}) |"
        ]
    return lines


def about(settings: Settings) -> List[str]:
    """Return how it is measured."""
    size = settings.group_size
    return [
        "Seven blocks of 3 x 3 convolutions, three of 64 channels and four of 192, GN, all wide enough for "
        "groups of 64; the expand ratio keeps the multiply-adds, with the paper's 6 for groups of 1 and 4 "
        "for groups of 16. "
        f"{size.images} digits of {RESOLUTION} px, {size.epochs} epochs, {size.updates} updates of "
        f"{size.global_batch} images. The steps are timed in turns in one process, one thread, float32, "
        "channels_last; the ratio is the median of the turns', with its quartiles.",
    ]


def timing_record(seconds: Mapping[str, List[float]], settings: Settings) -> Dict[str, Any]:
    """Return medians and ratios to the first group size."""
    return step_record(seconds, f"G{settings.group_sizes[0]}")


def step_record(seconds: Mapping[str, List[float]], reference: str) -> Dict[str, Any]:
    """Return, for each step, its seconds, their median, and its ratios to the reference's."""
    ratios = ratios_to(seconds, reference)
    return {
        name: {"seconds": values, "median_s": sorted(values)[len(values) // 2], "ratio": ratios[name]}
        for name, values in seconds.items()
    }


def summary(rows: Sequence[Row], timing: Mapping[str, Any], settings: Settings) -> Dict[str, Any]:
    """Return accuracy by group size."""
    return {str(group): vars(accuracy(rows, group)) for group in settings.group_sizes}
