"""How float32 update results become float16 weights: to nearest, or stochastically when the options ask for
it.
"""

from __future__ import annotations

from typing import Any, Callable, Optional

import torch
from torch import Tensor

from .random import DeviceRandom

Rounding = Callable[[Tensor, torch.dtype], Tensor]


def weight_rounding(options: Any, rng: DeviceRandom) -> Optional[Rounding]:
    """The rounding that the options ask for; None means to nearest."""
    return StochasticRounding(rng) if options._Popart.options.get("enableStochasticRounding", False) else None


class StochasticRounding:
    """Rounds up or down with probabilities that make the mean exact; draws from a generator of its own."""

    def __init__(self, rng: DeviceRandom) -> None:
        self._generator = torch.Generator().manual_seed(rng.derived(-1, 0))

    def __call__(self, values: Tensor, dtype: torch.dtype) -> Tensor:
        """The values on the float16 grid; other types are converted as usual."""
        if dtype != torch.float16:
            return values.to(dtype)
        nearest = values.half()
        error = values - nearest.float()
        neighbour = _next_half(nearest, error)
        gap = neighbour.float() - nearest.float()
        chance = torch.where(gap != 0, error / gap, torch.zeros_like(error))
        draw = torch.rand(values.shape, generator=self._generator)
        return torch.where(
            (draw < chance) & torch.isfinite(nearest) & torch.isfinite(neighbour), neighbour, nearest
        )


def _next_half(nearest: Tensor, error: Tensor) -> Tensor:
    """The float16 next to `nearest` in the direction of `error`; `nearest` itself where the error is zero."""
    bits = nearest.view(torch.int16).int()
    magnitude = bits & 0x7FFF
    is_negative = torch.where(magnitude == 0, error < 0, nearest < 0)
    outward = torch.where((error < 0) == is_negative, 1, -1)
    moved = torch.where(error == 0, magnitude, magnitude + torch.where(magnitude == 0, 1, outward))
    return (moved - 0x8000 * is_negative.int()).to(torch.int16).view(torch.float16)
