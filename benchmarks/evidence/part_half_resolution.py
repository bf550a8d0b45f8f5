"""Part (d): training at fewer pixels and fine-tuning the last layers, against training at the test
resolution; and whether test resolutions that agree with the trained one modulo 32 do better.
"""

from __future__ import annotations

from statistics import fmean
from typing import Any, Dict, List, Mapping, Sequence

from benchmarks.evidence.jobs import Job, Row
from benchmarks.evidence.part_group_size import step_record
from benchmarks.evidence.settings import Settings
from benchmarks.evidence.spread import Sample, compare, compare_paired
from benchmarks.evidence.timing import Steps
from benchmarks.evidence.training import Stretch, TrainingCase, short_net
from benchmarks.measure.harness import Spread
from ipu_app.models.parity import parity_modulus

NAME = "half_resolution"
NORM = "gn"
STRIDES = (1, 2, 2, 2, 1, 2, 1)  # B0's own: with the stem five layers of stride 2, hence modulo 32
WIDTH = 0.5
STEPS = ("native", "half", "fine-tune")  # whose times are measured
_VERDICTS = {1: "clearly more than", 0: "not clearly different from", -1: "clearly less than"}
PAPER_EPOCHS = (350, 2)  # of training and of fine-tuning, arXiv 2106.03640


def modulus() -> int:
    """Return what the resolutions must agree modulo."""
    return parity_modulus(short_net(NORM, strides=STRIDES, width=WIDTH))


def last_map(resolution: int) -> int:
    """Return the pixels of a side of the last feature map."""
    return -(-resolution // modulus())


def jobs(settings: Settings) -> List[Job]:
    """Return two trainings for each seed: native, and half with its fine-tunings."""
    kinds = {"native": _native(settings), "half": _half(settings)}
    return [
        Job({"part": NAME, "training": kind, "seed": seed}, _case(settings, stretches, seed), weight=10)
        for kind, stretches in kinds.items()
        for seed in settings.seeds
    ]


def _native(settings: Settings) -> Sequence[Stretch]:
    size = settings.half_resolution
    return [Stretch(size.epochs, settings.native, size.lr, (settings.native,), augment=True)]


def _half(settings: Settings) -> Sequence[Stretch]:
    size = settings.half_resolution
    trained = Stretch(size.epochs, settings.half, size.lr, settings.sweep, augment=True)
    return [trained, _tuned(settings, settings.native), _tuned(settings, settings.mismatched)]


def _tuned(settings: Settings, resolution: int) -> Stretch:
    """The last layers learn at another resolution, from the end of the half-resolution training."""
    return Stretch(
        settings.tune_epochs,
        resolution,
        settings.tune_lr,
        (resolution,),
        trainable="Top",
        after=0,
    )


def _case(settings: Settings, stretches: Sequence[Stretch], seed: int) -> TrainingCase:
    size = settings.half_resolution
    return TrainingCase(
        net="short",
        options={"norm": NORM, "strides": STRIDES, "width": WIDTH},
        seed=seed,
        stretches=tuple(stretches),
        images=size.images,
        test_images=size.test_images,
        micro_batch=size.global_batch,
        global_batch=size.global_batch,
        as_photos=True,
    )


def steps(settings: Settings) -> Steps:
    """Return the steps that make up the two trainings, to be timed in turns."""
    native, half = _case(settings, _native(settings), 0), _case(settings, _half(settings), 0)
    stretches = ((native, native.stretches[0]), (half, half.stretches[0]), (half, half.stretches[1]))
    return dict(zip(STEPS, stretches))


def timing_record(seconds: Mapping[str, List[float]], settings: Settings) -> Dict[str, Any]:
    """Return the steps' times, and half + fine-tune over native, by turns, for two lengths of training."""
    size = settings.half_resolution
    return {
        "steps": step_record(seconds, "native"),
        "total_ratio": _total_ratio(seconds, size.epochs, settings.tune_epochs),
        "paper_epochs_ratio": _total_ratio(seconds, *PAPER_EPOCHS),
    }


def _total_ratio(seconds: Mapping[str, List[float]], epochs: int, tune_epochs: int) -> Dict[str, Any]:
    turns = zip(*(seconds[name] for name in STEPS))
    ratios = [(epochs * half + tune_epochs * tune) / (epochs * native) for native, half, tune in turns]
    return Spread.of(ratios).to_dict()


def _tops(rows: Sequence[Row], training: str, stretch: int, resolution: int) -> List[float]:
    """Top-1 of each seed."""
    found = [row["result"][stretch]["tests"] for row in rows if row["training"] == training]
    return [test["top1"] for tests in found for test in tests if test["resolution"] == resolution]


def accuracy(rows: Sequence[Row], training: str, stretch: int, resolution: int) -> Sample:
    """Return top-1 over the seeds."""
    return Sample.of(_tops(rows, training, stretch, resolution))


def neighbours(settings: Settings) -> Dict[str, List[int]]:
    """Return the tested resolutions just below and just above the native one that do not agree with the half
    one: nearer than half the modulus.
    """
    wrong = [r for r in settings.sweep if (r - settings.half) % modulus()]
    near = [r for r in wrong if abs(r - settings.native) < modulus() // 2]
    return {
        "below": [r for r in near if r < settings.native],
        "above": [r for r in near if r > settings.native],
    }


def neighbour_tops(rows: Sequence[Row], resolutions: Sequence[int]) -> List[float]:
    """Return each seed's mean top-1, without fine-tuning, over some resolutions."""
    return [fmean(values) for values in zip(*(_tops(rows, "half", 0, r) for r in resolutions))]


def sentences(rows: Sequence[Row], timing: Mapping[str, Any], settings: Settings) -> List[str]:
    """Return what half resolution gains and costs, then what the rule of remainders does."""
    return [_gain(rows, timing, settings), _parity(rows, settings), _tuned_parity(rows, settings)]


def _gain(rows: Sequence[Row], timing: Mapping[str, Any], settings: Settings) -> str:
    native = accuracy(rows, "native", 0, settings.native)
    tuned = accuracy(rows, "half", 1, settings.native)
    plain = accuracy(rows, "half", 0, settings.native)
    total, paper = timing["total_ratio"], timing["paper_epochs_ratio"]
    verdict = {1: "clearly above", 0: "not clearly different from", -1: "clearly below"}[
        compare(tuned, native)
    ]
    helps = {1: "which lifts it", 0: "which does not clearly change it", -1: "which lowers it"}
    return (
        f"Trained at {settings.half} px and fine-tuned at {settings.native} px "
        f"({helps[compare(tuned, plain)]}, from {plain.percent()}), the network reaches {tuned.percent()}, "
        f"{verdict} {native.percent()} of native training, in {total['median']:.2f} times its training time "
        f"(quartiles {total['low']:.2f} to {total['high']:.2f}; by the same step times "
        f"{paper['median']:.2f} times at the paper's {PAPER_EPOCHS[0]} + {PAPER_EPOCHS[1]} epochs)."
    )


def _parity(rows: Sequence[Row], settings: Settings) -> str:
    """Compare the native resolution, which agrees, with each side of its neighbourhood, seed by seed."""
    at = _tops(rows, "half", 0, settings.native)
    orders, sides = [], []
    for side, resolutions in neighbours(settings).items():
        tops = neighbour_tops(rows, resolutions)
        orders.append(compare_paired(at, tops))
        listed = ", ".join(map(str, resolutions))
        sides.append(f"{_VERDICTS[orders[-1]]} just {side} it ({listed} px: {Sample.of(tops).percent()})")
    better = sum(order > 0 for order in orders)
    rule = {2: "is seen", 1: "is seen on one side only", 0: "is not seen"}[better]
    return (
        f"Without fine-tuning, {settings.native} px, which agrees with {settings.half} modulo {modulus()}, "
        f"has {Sample.of(at).percent()}: {' and '.join(sides)}, seed by seed; the paper's rule {rule}. "
        f"But above it the last map grows too, from {last_map(settings.native)} to "
        f"{last_map(settings.native + 1)} pixels a side{_further(rows, settings)}."
    )


def _further(rows: Sequence[Row], settings: Settings) -> str:
    """Name the resolutions beyond the native one that agree as well, if any was tested."""
    agreeing = [r for r in settings.sweep if r > settings.native and (r - settings.half) % modulus() == 0]
    shown = [f"{r} px with {accuracy(rows, 'half', 0, r).percent()}" for r in agreeing]
    return f", and what agrees further up does as follows: {', '.join(shown)}" if shown else ""


def _tuned_parity(rows: Sequence[Row], settings: Settings) -> str:
    matched = accuracy(rows, "half", 1, settings.native)
    other = accuracy(rows, "half", 2, settings.mismatched)
    order = compare_paired(
        _tops(rows, "half", 1, settings.native), _tops(rows, "half", 2, settings.mismatched)
    )
    verdict = {1: "is still clearly better", 0: "is not clearly different", -1: "is clearly worse"}
    return (
        f"After fine-tuning at the resolution tested, the matched pair {settings.half} to {settings.native} "
        f"px {verdict[order]} ({matched.percent()}) {'than' if order else 'from'} the mismatched "
        f"{settings.half} to {settings.mismatched} px ({other.percent()})."
    )


def tables(rows: Sequence[Row], timing: Mapping[str, Any], settings: Settings) -> List[str]:
    """Return the trainings, then the sweep over test resolutions."""
    native, half, tuned = (1000 * timing["steps"][name]["median_s"] for name in STEPS)
    total = timing["total_ratio"]
    lines = ["", "Top-1 of the validation images and time, measured on one core:", ""]
    lines += ["| training | tested at | top-1 | step, ms | time over native's |", "|---|---:|---:|---:|---:|"]
    at = settings.native
    lines += [
        f"| native, {at} px | {at} px | {accuracy(rows, 'native', 0, at).percent()} | {native:.0f} | 1 |",
        f"| half, {settings.half} px | {at} px | {accuracy(rows, 'half', 0, at).percent()} | {half:.0f} "
        f"| {timing['steps']['half']['ratio']['median']:.2f} |",
        f"| half + fine-tune at {at} px | {at} px | {accuracy(rows, 'half', 1, at).percent()} "
        f"| {half:.0f}, then {tuned:.0f} | {total['median']:.2f} |",
        f"| half + fine-tune at {settings.mismatched} px, a mismatched parity | {settings.mismatched} px "
        f"| {accuracy(rows, 'half', 2, settings.mismatched).percent()} | | |",
    ]
    return lines + _sweep_table(rows, settings)


def _sweep_table(rows: Sequence[Row], settings: Settings) -> List[str]:
    lines = ["", f"The network trained at {settings.half} px, without fine-tuning, measured:", ""]
    lines += [f"| tested at | remainder modulo {modulus()} | top-1 |", "|---:|---:|---:|"]
    for resolution in settings.sweep:
        agrees = (resolution - settings.half) % modulus() == 0
        remainder = f"**{resolution % modulus()}**" if agrees else f"{resolution % modulus()}"
        lines += [f"| {resolution} px | {remainder} | {accuracy(rows, 'half', 0, resolution).percent()} |"]
    return lines


def about(settings: Settings) -> List[str]:
    """Return how it is measured."""
    size = settings.half_resolution
    share = (settings.half / settings.native) ** 2
    return [
        "B0 with one block per section and half its width (groups of 16, ratio 4, GN, five layers of stride "
        f"2), {size.images} digits treated as photographs: random resized crops of {settings.native} px or, "
        f"for half resolution, of {settings.half} px ({100 * share:.0f} % of the pixels); {size.epochs} "
        f"epochs, {size.updates} updates of {size.global_batch} images, then {settings.tune_epochs} "
        f"epochs of the top only on centre crops. Tested on centre crops of {size.test_images} others. Times "
        "are measured step times (in turns, one core) times the number of steps. The last map has "
        f"{last_map(settings.native)} x {last_map(settings.native)} pixels at {settings.native} px and "
        f"{last_map(settings.native + 1)} x {last_map(settings.native + 1)} just above, where all stride-2 "
        "layers also pad elsewhere; just below only some do.",
    ]


def summary(rows: Sequence[Row], timing: Mapping[str, Any], settings: Settings) -> Dict[str, Any]:
    """Return accuracies of the trainings and of the sweep."""
    return {
        "native": vars(accuracy(rows, "native", 0, settings.native)),
        "half": {str(r): vars(accuracy(rows, "half", 0, r)) for r in settings.sweep},
        "fine-tuned": vars(accuracy(rows, "half", 1, settings.native)),
        "fine-tuned, mismatched": vars(accuracy(rows, "half", 2, settings.mismatched)),
        "neighbours": {
            side: vars(Sample.of(neighbour_tops(rows, resolutions)))
            for side, resolutions in neighbours(settings).items()
        },
    }
