"""Seconds of training steps that take turns, so that whatever else slows the machine slows all of them."""

from __future__ import annotations

import statistics
import time
from typing import Any, Dict, List, Mapping, Sequence, Tuple

import torch

from benchmarks.evidence.spread import quartiles
from benchmarks.evidence.training import Stretch, TrainingCase, make_runtime
from ipu_app.runtime.base import StepKnobs

Steps = Mapping[Any, Tuple[TrainingCase, Stretch]]


def time_steps(steps: Steps, rounds: int) -> Dict[Any, List[float]]:
    """Return the seconds of each step in each round; a first, uncounted one warms up. One thread."""
    torch.set_num_threads(1)
    runtimes = {name: make_runtime(case, stretch) for name, (case, stretch) in steps.items()}
    batches = {name: _batch(case, stretch) for name, (case, stretch) in steps.items()}
    seconds: Dict[Any, List[float]] = {name: [] for name in steps}
    for turn in range(rounds + 1):
        for name, runtime in runtimes.items():
            started = time.perf_counter()
            runtime.train_batch(batches[name], StepKnobs(lr=1e-4))
            if turn:
                seconds[name].append(time.perf_counter() - started)
    for runtime in runtimes.values():
        runtime.close()
    return seconds


def _batch(case: TrainingCase, stretch: Stretch) -> Tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(case.seed)
    shape = (case.global_batch, 3, stretch.resolution, stretch.resolution)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    return images, torch.randint(0, case.spec.num_classes, (case.global_batch,), generator=generator)


def ratios_to(seconds: Mapping[Any, List[float]], reference: Any) -> Dict[Any, Dict[str, float]]:
    """Return each step's time over the reference's, round by round: median and quartiles."""
    found = {}
    for name, values in seconds.items():
        ratios = [own / base for own, base in zip(values, seconds[reference])]
        found[name] = median_and_quartiles(ratios)
    return found


def median_and_quartiles(ratios: Sequence[float]) -> Dict[str, float]:
    """Return ``median``, ``low`` and ``high`` quartile of the rounds' ratios."""
    low, high = quartiles(ratios)
    return {"median": statistics.median(ratios), "low": low, "high": high}
