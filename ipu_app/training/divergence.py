"""A training that came to nothing: how it is noticed, and what is said of it."""

from __future__ import annotations

from typing import Mapping

import torch
from torch import Tensor


def are_finite(weights: Mapping[str, Tensor]) -> bool:
    """Tell whether all weights are finite numbers."""
    return all(bool(torch.isfinite(value).all()) for value in weights.values() if value.is_floating_point())


def divergence(phase: str, epochs: int, step: int, what: str) -> str:
    """Return one line: what happened in the phase after so many ``epochs``, what to try, what is left."""
    kept = f"the checkpoint of epoch {epochs} is kept" if epochs else "no epoch was finished"
    section = f"phases.{phase}"
    return (
        f"{section}: {what} in epoch {epochs + 1}, by step {step}; try a lower {section}.optimizer.lr; with "
        f"half precision also another {section}.optimizer.loss_scale, or more bits ({section}.pipeline"
        ".precision=16.32 or 32.32; on GPUs and CPUs device.autocast=off), or on these "
        f"{section}.optimizer.nonfinite=skip; {kept}"
    )
