"""Seconds of training steps that take turns, so that whatever else slows the machine slows all of them."""

from __future__ import annotations

from functools import partial
from typing import Any, Dict, List, Mapping, Tuple

import torch

from benchmarks.evidence.training import Stretch, TrainingCase, make_runtime
from benchmarks.measure.harness import ratio, take_turns, timed
from ipu_app.runtime.base import StepKnobs

Steps = Mapping[Any, Tuple[TrainingCase, Stretch]]


def time_steps(steps: Steps, rounds: int) -> Dict[Any, List[float]]:
    """Return the seconds of each step in each round; a first, uncounted one warms up. One thread."""
    torch.set_num_threads(1)
    runtimes = {name: make_runtime(case, stretch) for name, (case, stretch) in steps.items()}
    turns = {
        name: timed(partial(runtimes[name].train_batch, _batch(case, stretch), StepKnobs(lr=1e-4)))
        for name, (case, stretch) in steps.items()
    }
    seconds = take_turns(turns, rounds=rounds)
    for runtime in runtimes.values():
        runtime.close()
    return seconds


def _batch(case: TrainingCase, stretch: Stretch) -> Tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(case.seed)
    shape = (case.global_batch, 3, stretch.resolution, stretch.resolution)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    return images, torch.randint(0, case.spec.num_classes, (case.global_batch,), generator=generator)


def ratios_to(seconds: Mapping[Any, List[float]], reference: Any) -> Dict[Any, Dict[str, Any]]:
    """Return each step's time over the reference's, round by round: median and quartiles."""
    return {name: ratio(values, seconds[reference]).to_dict() for name, values in seconds.items()}
