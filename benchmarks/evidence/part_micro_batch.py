"""Part (b): validation accuracy of the norms at several micro-batches and one global batch."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Sequence

from benchmarks.evidence.jobs import Job, Row
from benchmarks.evidence.names import NORM_NAMES
from benchmarks.evidence.settings import Settings
from benchmarks.evidence.spread import Sample, compare
from benchmarks.evidence.timing import Steps
from benchmarks.evidence.training import Stretch, TrainingCase

NAME = "micro_batch"
NORMS = ("bn", "gn", "ln", "ln_pn")
STRIDES = (1, 2, 2, 1)  # of four blocks after a stem of stride 2: 32 px end as 4 x 4
RESOLUTION = 32
SAME = 0.005  # differences in top-1 up to this, half a point, come from rounding in another order


def jobs(settings: Settings) -> List[Job]:
    """Return one training for each norm, micro-batch and seed."""
    return [
        Job(
            {"part": NAME, "norm": norm, "micro_batch": micro, "seed": seed},
            _case(settings, norm, micro, seed),
            weight=1 / micro,
        )
        for norm in NORMS
        for micro in settings.micro_batches
        for seed in settings.seeds
    ]


def _case(settings: Settings, norm: str, micro: int, seed: int) -> TrainingCase:
    size = settings.micro_batch
    return TrainingCase(
        net="short",
        options={"norm": norm, "strides": STRIDES},
        seed=seed,
        stretches=(Stretch(size.epochs, RESOLUTION, size.lr, (RESOLUTION,)),),
        images=size.images,
        test_images=size.test_images,
        micro_batch=micro,
        global_batch=size.global_batch,
    )


def steps(settings: Settings) -> Steps:
    """Nothing is timed here."""
    return {}


def accuracy(rows: Sequence[Row], norm: str, micro: int) -> Sample:
    """Return top-1 over the seeds."""
    return Sample.of(
        [
            row["result"][0]["tests"][0]["top1"]
            for row in rows
            if (row["norm"], row["micro_batch"]) == (norm, micro)
        ]
    )


def sentences(rows: Sequence[Row], timing: Mapping[str, Any], settings: Settings) -> List[str]:
    """Return what BN does at the smallest micro-batch, against itself and against the others."""
    small, large = min(settings.micro_batches), max(settings.micro_batches)
    found = {(norm, micro): accuracy(rows, norm, micro) for norm in NORMS for micro in (small, large)}
    batch = found["bn", small]
    loses = compare(batch, found["bn", large]) < 0
    verb = {-1: "loses accuracy", 0: "shows no clear difference", 1: "gains accuracy"}
    change = verb[compare(batch, found["bn", large])]
    worse = [norm for norm in NORMS[1:] if compare(batch, found[norm, small]) < 0]
    return [
        f"From micro-batch {large} to {small} BN {change} ({found['bn', large].percent()} to "
        f"{batch.percent()}), {'as' if loses else 'which is not what'} arXiv 2106.03743 says of small "
        f"micro-batches; at {small} it is clearly below {_listed(worse) if worse else 'none of the others'}"
        f"{_values(found, worse, small)}.",
        _others(rows, settings),
        _best(found, small) + " " + _best(found, large),
    ]


def largest_change(rows: Sequence[Row], norm: str, settings: Settings) -> float:
    """Return by how much one seed's top-1 differs at most between two micro-batches."""
    found: Dict[int, List[float]] = {seed: [] for seed in settings.seeds}
    for row in rows:
        if row["norm"] == norm:
            found[row["seed"]].append(row["result"][0]["tests"][0]["top1"])
    return max(max(values) - min(values) for values in found.values())


def _others(rows: Sequence[Row], settings: Settings) -> str:
    changes = {norm: largest_change(rows, norm, settings) for norm in NORMS}
    most = max(changes[norm] for norm in NORMS[1:])
    verb = "do not depend" if most <= SAME else "depend"
    return (
        f"GN, LN and LN+PN {verb} on the micro-batch: between two micro-batches the same seed's accuracy "
        f"differs by at most {100 * most:.1f} points; with BN by up to {100 * changes['bn']:.1f}."
    )


def _values(found: Mapping[Any, Sample], norms: Sequence[str], micro: int) -> str:
    return f" ({', '.join(found[norm, micro].percent() for norm in norms)})" if norms else ""


def _listed(norms: Sequence[str]) -> str:
    names = [NORM_NAMES[norm] for norm in norms]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _best(found: Mapping[Any, Sample], micro: int) -> str:
    ranked = sorted(NORMS, key=lambda norm: -found[norm, micro].mean)
    best, second = ranked[0], ranked[1]
    clear = compare(found[best, micro], found[second, micro]) > 0
    return (
        f"At micro-batch {micro} {NORM_NAMES[best]} has the highest mean ({found[best, micro].percent()}), "
        f"{'clearly' if clear else 'not clearly'} above {NORM_NAMES[second]} "
        f"({found[second, micro].percent()})."
    )


def tables(rows: Sequence[Row], timing: Mapping[str, Any], settings: Settings) -> List[str]:
    """Return the accuracy of every norm at every micro-batch."""
    lines = ["", "Top-1 of the validation images, measured:", ""]
    lines += ["| norm | " + " | ".join(f"micro-batch {m}" for m in settings.micro_batches) + " |"]
    lines += ["|---|" + "---:|" * len(settings.micro_batches)]
    for norm in NORMS:
        values = [accuracy(rows, norm, micro).percent() for micro in settings.micro_batches]
        lines += [f"| {NORM_NAMES[norm]} | " + " | ".join(values) + " |"]
    return lines


def about(settings: Settings) -> List[str]:
    """Return how it is measured."""
    size = settings.micro_batch
    return [
        f"The first {len(STRIDES)} sections of B0 with one block each (groups of 16, ratio 4, top of 512), "
        f"{size.images} digits of {RESOLUTION} px, {size.epochs} epochs, {size.updates} updates, a global "
        f"batch of {size.global_batch} made of micro-batches by accumulation, tested on {size.test_images} "
        "others. Batch norm's statistics are those of a micro-batch, its moving averages move by 0.1 per "
        "update. One learning rate for all.",
    ]


def summary(rows: Sequence[Row], timing: Mapping[str, Any], settings: Settings) -> Dict[str, Any]:
    """Return accuracy by norm and micro-batch."""
    return {
        norm: {str(micro): vars(accuracy(rows, norm, micro)) for micro in settings.micro_batches}
        for norm in NORMS
    }
