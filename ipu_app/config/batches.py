"""Batch factors that fit: few images, or little memory. Arithmetic on configuration sections. No torch."""

from __future__ import annotations

from dataclasses import replace
from typing import Iterator, List, Optional, Tuple

from ipu_app.config.schema import BatchConfig, PhaseConfig
from pipelines.geometry import BatchGeometry

STEPS_AN_EPOCH = 4  # with fewer weight updates per epoch, a small data set teaches next to nothing


class TooFewImages(ValueError):
    """A data set of ``num_images`` does not fill one call of the device."""

    def __init__(self, message: str, num_images: int) -> None:
        super().__init__(message)
        self.num_images = num_images


def check_global_batch(geometry: BatchGeometry, num_images: int, phase: PhaseConfig) -> None:
    """Refuse a step that needs more images than there are, and name settings that would do."""
    if geometry.samples_per_call <= num_images:
        return
    smaller = smaller_batch(phase, num_images, instances=geometry.instances, on_ipus=False)
    lever = as_settings(phase.name, smaller) if smaller else "more images, or fewer stages (pipeline.splits)"
    raise TooFewImages(
        f"phases.{phase.name}.batch: one call takes {geometry.samples_per_call} images (micro-batch "
        f"{geometry.micro_batch} x accumulation {geometry.accumulation} x replicas {geometry.total_replicas} "
        f"x device iterations {geometry.device_iterations}), but there are only {num_images}; for instance "
        f"{lever}",
        num_images,
    )


def smaller_batch(
    phase: PhaseConfig, num_images: int, *, instances: int, on_ipus: bool
) -> Optional[BatchConfig]:
    """Return the phase's batch made small enough for ``STEPS_AN_EPOCH`` steps over ``num_images``.

    The micro-batch is kept where that is possible, then the batch is as large as possible; with very few
    images there are fewer steps. None: not even one step of the smallest batch can be made.
    """
    found = list(_batches(phase, num_images, instances=instances, on_ipus=on_ipus))
    goal = num_images / STEPS_AN_EPOCH
    good = [batch for batch in found if batch.global_batch <= goal]
    if good:
        best = max(good, key=lambda b: (2 * b.global_batch > goal, b.micro, b.global_batch, b.replicas))
    elif found:
        best = min(found, key=lambda b: (b.global_batch, -b.micro))
    else:
        return None
    return replace(best, torch_micro=_torch_micro(best))


def micro_batches(phase: PhaseConfig, instances: int, cap: int) -> List[int]:
    """Return the micro-batches of at most ``cap`` that make the phase's global batch, the largest first.

    Where images are mixed these keep the groups of ``batch.micro`` in which they are, and are large enough.
    """
    total = phase.batch.global_batch // instances
    micro, mixes, least = phase.batch.micro, phase.augment.mixes, phase.augment.least_micro
    return [
        size
        for size in _divisors(total)
        if size <= cap and (not mixes or size % micro == 0 or least <= size < micro)
    ]


def same_batch(batch: BatchConfig) -> Tuple[int, ...]:
    """Return the four factors, to compare and to name."""
    return batch.micro, batch.accumulation, batch.replicas, batch.device_iterations


def as_settings(name: str, batch: BatchConfig) -> str:
    """Return the words that set a phase's batch factors on the command line."""
    keys = ("micro", "accumulation", "replicas", "device_iterations")
    return " ".join(f"--set phases.{name}.batch.{key}={value}" for key, value in zip(keys, same_batch(batch)))


def _batches(phase: PhaseConfig, num_images: int, *, instances: int, on_ipus: bool) -> Iterator[BatchConfig]:
    batch, least = phase.batch, phase.least_accumulation
    least_micro = phase.augment.least_micro
    for micro in range(batch.micro, least_micro - 1, -1):
        for replicas in _divisors(batch.replicas):
            for accumulation in range(least, batch.accumulation + 1):
                total = micro * replicas * accumulation
                if total <= num_images and (replicas if on_ipus else total) % instances == 0:
                    yield replace(
                        batch, micro=micro, accumulation=accumulation, replicas=replicas, device_iterations=1
                    )


def _torch_micro(batch: BatchConfig) -> Optional[int]:
    if batch.torch_micro is None:
        return None
    whole = batch.accumulation * batch.replicas
    fitting = [n for n in _divisors(whole) if batch.micro * n <= batch.torch_micro]
    return batch.micro * (fitting[0] if fitting else 1)


def _divisors(number: int) -> List[int]:
    """Return the divisors, the largest first."""
    return [n for n in range(number, 0, -1) if number % n == 0]
