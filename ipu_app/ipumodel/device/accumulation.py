"""How gradients of micro-batches become one update: the sum in float32 or float16, and the automatic loss
scale.
"""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

import torch
from torch import Tensor

from ..enums import ReductionType
from .batching import Batching
from .numerics import to_half_grid

_HALF_MAX = 65504.0


class FloatAccumulator:
    """Sums in the leaves' own `.grad`, float32; the mean is taken once at the end."""

    def __init__(self, leaves: Dict[str, Tensor], divisor: int) -> None:
        self._leaves, self._divisor = leaves, divisor

    def after_micro_batch(self) -> None:
        """Nothing to do: autograd has added already."""

    def take(self) -> Tuple[Dict[str, Tensor], int]:
        """The sums by name, and what is left to divide them by."""
        return _taken(self._leaves), self._divisor


class HalfAccumulator:
    """Adds each micro-batch to a float16 buffer; a mean is kept running, so that it does not overflow."""

    def __init__(self, leaves: Dict[str, Tensor], batching: Batching) -> None:
        self._leaves = leaves
        self._is_mean = batching.reduction != ReductionType.Sum
        self._processes = batching.processes
        self._totals: Dict[str, Tensor] = {}
        self._count = 0

    @torch.no_grad()
    def after_micro_batch(self) -> None:
        """Add the new gradients, rounded."""
        for name, grad in _taken(self._leaves).items():
            total = self._totals.get(name)
            before = torch.zeros_like(grad) if total is None else total
            step = (to_half_grid(grad) - before) / (self._count + 1) if self._is_mean else to_half_grid(grad)
            self._totals[name] = to_half_grid(before + step)
        self._count += 1

    def take(self) -> Tuple[Dict[str, Tensor], int]:
        """The sums or running means by name, and what is left to divide them by."""
        totals, self._totals, self._count = self._totals, {}, 0
        return totals, self._processes if self._is_mean else 1


def make_accumulator(leaves: Dict[str, Tensor], batching: Batching, optimizer: Any) -> Any:
    """The accumulator that the optimizer's accum_type asks for."""
    if optimizer is not None and optimizer.accum_type == torch.float16:
        return HalfAccumulator(leaves, batching)
    return FloatAccumulator(leaves, batching.gradient_divisor)


def _taken(leaves: Dict[str, Tensor]) -> Dict[str, Tensor]:
    grads = {}
    for name, leaf in leaves.items():
        if leaf.grad is not None:
            grads[name], leaf.grad = leaf.grad, None
    return grads


class AutomaticLossScale:
    """Halves the scale when gradients come near float16's limit, doubles it otherwise, every few updates.

    The constants are PopART's defaults: bin edge at an eighth of the largest float16, a tolerated share of
    1e-7 above it, a decision every 8 updates.
    """

    edge = 0.125 * _HALF_MAX
    tolerated_share = 1e-7
    period = 8

    def __init__(self) -> None:
        self._updates = self._above = self._seen = 0

    def observe(self, grads: List[Tensor], scale: float) -> float:
        """Take the loss-scaled gradients of one update; return the scale for the next."""
        for grad in grads:
            self._above += int((~(grad.abs() <= self.edge)).sum())
            self._seen += grad.numel()
        self._updates += 1
        if self._updates % self.period or not self._seen:
            return scale
        is_high = self._above / self._seen > self.tolerated_share
        self._above = self._seen = 0
        return scale * (0.5 if is_high else 2.0)
