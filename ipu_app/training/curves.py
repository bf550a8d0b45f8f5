"""The learning rate as a pure function of the epoch (a fraction: steps done / steps per epoch)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ipu_app.config.kinds import SCHEDULES


@dataclass(frozen=True)
class Curve:
    """A learning-rate schedule over one phase of ``epochs``; ``peak`` is reached after the warm-up.

    exponential: peak * decay^floor(epoch / epochs_per_drop), the paper's, whose drops go on during warm-up;
    cosine: from peak at the end of the warm-up to 0 at the end of the phase; constant: peak.
    Warm-up is linear from 0 in all three.
    """

    peak: float
    epochs: float
    kind: str = "exponential"
    warmup_epochs: float = 5.0
    decay: float = 0.97
    epochs_per_drop: float = 350 / 146

    def lr(self, epoch: float) -> float:
        """Return the learning rate at this point of the phase."""
        warmup = min(1.0, epoch / self.warmup_epochs) if self.warmup_epochs > 0 else 1.0
        share: float = SCHEDULES[self.kind].load()(self, epoch)
        return self.peak * warmup * share


def exponential(curve: Curve, epoch: float) -> float:
    """Drops by the same factor, which go on during warm-up."""
    return curve.decay ** math.floor(epoch / curve.epochs_per_drop)


def cosine(curve: Curve, epoch: float) -> float:
    """Half a cosine from the end of the warm-up to the end of the phase."""
    length = max(curve.epochs - curve.warmup_epochs, 1e-9)
    done = min(max((epoch - curve.warmup_epochs) / length, 0.0), 1.0)
    return 0.5 * (1 + math.cos(math.pi * done))


def constant(curve: Curve, epoch: float) -> float:
    """The peak all along."""
    return 1.0


def published_peak(global_batch: int, per_image: float = 2.0**-14) -> float:
    """Return the peak learning rate for RMSProp: global batch * 2^-14 in arXiv 2106.03640."""
    return global_batch * per_image


def published_rho(global_batch: int) -> float:
    """Return the paper's decay of squared gradients: 1 - global batch * 2^-14."""
    return 1.0 - global_batch * 2.0**-14
