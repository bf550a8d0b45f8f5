"""Part (e): progressive learning: one size, sizes that grow, sizes and regularisation that grow."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Sequence

from benchmarks.evidence.jobs import Job, Row
from benchmarks.evidence.progressive_run import ProgressiveCase
from benchmarks.evidence.settings import Settings
from benchmarks.evidence.spread import Sample, compare
from benchmarks.evidence.timing import Steps

NAME = "progressive"
FIXED, SIZES, BOTH = "one size", "sizes grow", "sizes and regularisation grow"
TRAININGS = (FIXED, SIZES, BOTH)
STAGES = 4
DROPOUT, MIXUP = 0.3, 0.2  # in full strength


def jobs(settings: Settings) -> List[Job]:
    """Return one training for each kind and seed."""
    return [
        Job({"part": NAME, "training": kind, "seed": seed}, _case(settings, kind, seed), weight=8)
        for kind in TRAININGS
        for seed in settings.seeds
    ]


def _case(settings: Settings, kind: str, seed: int) -> ProgressiveCase:
    size, last = settings.progressive, settings.progressive_sizes[1]
    full = kind != BOTH
    return ProgressiveCase(
        seed=seed,
        sizes=(last, last) if kind == FIXED else settings.progressive_sizes,
        dropout=(DROPOUT if full else 0.0, DROPOUT),
        mixup=(MIXUP if full else 0.0, MIXUP),
        stages=min(STAGES, size.epochs),
        epochs=size.epochs,
        images=size.images,
        test_images=size.test_images,
        lr=size.lr,
        batch=size.global_batch,
    )


def steps(settings: Settings) -> Steps:
    """Nothing is timed apart: each training tells its own processor time."""
    return {}


def _values(rows: Sequence[Row], kind: str, key: str) -> List[float]:
    return [row["result"][key] for row in rows if row["training"] == kind]


def accuracy(rows: Sequence[Row], kind: str) -> Sample:
    """Return top-1 at the last size over the seeds."""
    return Sample.of(_values(rows, kind, "top1"))


def time_ratio(rows: Sequence[Row], kind: str) -> Sample:
    """Return the processor time of training over that of one size, seed by seed."""
    pairs = zip(_values(rows, kind, "train_cpu_s"), _values(rows, FIXED, "train_cpu_s"))
    return Sample.of([mine / fixed for mine, fixed in pairs])


def sentences(rows: Sequence[Row], timing: Mapping[str, Any], settings: Settings) -> List[str]:
    """Return what growing sizes save and cost, and what growing regularisation adds."""
    fixed, sizes, both = (accuracy(rows, kind) for kind in TRAININGS)
    verdict = {1: "clearly above", 0: "not clearly different from", -1: "clearly below"}
    agrees = {1: "as", 0: "which does not show what", -1: "against what"}
    first, last = settings.progressive_sizes
    ratio = time_ratio(rows, BOTH)
    return [
        f"With sizes growing from {first} to {last} px and regularisation growing with them the network "
        f"reaches {both.percent()}, {verdict[compare(both, fixed)]} {fixed.percent()} at {last} px "
        f"throughout, in {ratio.mean:.2f} ± {ratio.std:.2f} times its training time for equal updates.",
        f"Growing regularisation makes it {verdict[compare(both, sizes)]} growing sizes alone "
        f"({sizes.percent()}), {agrees[compare(both, sizes)]} arXiv 2104.00298 reports (about .7 points on "
        "ImageNet).",
    ]


def tables(rows: Sequence[Row], timing: Mapping[str, Any], settings: Settings) -> List[str]:
    """Return accuracy and time of the three trainings."""
    lines = ["", "Measured; time is processor time of training, times that of one size:", ""]
    lines += ["| training | sizes, px | top-1 | time |", "|---|---|---:|---:|"]
    for kind in TRAININGS:
        pixels = next(row["result"]["sizes"] for row in rows if row["training"] == kind)
        ratio = time_ratio(rows, kind)
        listed = ", ".join(map(str, dict.fromkeys(pixels)))
        lines.append(
            f"| {kind} | {listed} | {accuracy(rows, kind).percent()} | {ratio.mean:.2f} ± {ratio.std:.2f} |"
        )
    return lines


def about(settings: Settings) -> List[str]:
    """Return how it is measured."""
    size, (first, last) = settings.progressive, settings.progressive_sizes
    return [
        f"B0 with groups of 16 and group norm, {size.images} digits, {size.epochs} epochs, {size.updates} "
        f"updates of {size.global_batch} images, in {min(STAGES, size.epochs)} stages by the paper's law "
        f"from {first} to {last} px, all tested at {last} px on {size.test_images} others. Regularisation is "
        f"dropout {DROPOUT} and mixup {MIXUP}, in full strength from the start or growing from 0; digits are "
        "not cropped or mirrored, and RandAugment, whose reach is in pixels, is left out.",
    ]


def summary(rows: Sequence[Row], timing: Mapping[str, Any], settings: Settings) -> Dict[str, Any]:
    """Return accuracy and time of each training."""
    return {
        kind: {"top1": vars(accuracy(rows, kind)), "time_ratio": vars(time_ratio(rows, kind))}
        for kind in TRAININGS
    }
