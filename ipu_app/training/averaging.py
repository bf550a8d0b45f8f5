"""An exponential average of the weights, one sample per epoch, in float64, as in the paper."""

from __future__ import annotations

from typing import Dict, Optional

import torch
from torch import Tensor


class WeightAverage:
    """V = first sample, then V = decay V + (1 - decay) sample. Integer tensors take the last sample's value.

    Proxy-norm statistics are computed from the parameters in every forward pass, so averaging the parameters
    is enough: there are no stored statistics that could be stale.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self._sums: Optional[Dict[str, Tensor]] = None
        self._dtypes: Dict[str, torch.dtype] = {}

    def add(self, weights: Dict[str, Tensor], decay: Optional[float] = None) -> None:
        """Take one sample, with a decay of its own if one is given."""
        decay = self.decay if decay is None else decay
        if self._sums is None:
            self._dtypes = {name: value.dtype for name, value in weights.items()}
            self._sums = {name: _wide(value) for name, value in weights.items()}
            return
        for name, value in weights.items():
            old = self._sums[name]
            if old.is_floating_point():
                old.mul_(decay).add_(_wide(value), alpha=1 - decay)
            else:
                self._sums[name] = value.clone()

    def weights(self) -> Dict[str, Tensor]:
        """Return the average in the samples' own dtypes; there must be a sample."""
        assert self._sums is not None, "add a sample first"
        return {name: value.to(self._dtypes[name]) for name, value in self._sums.items()}

    def state_dict(self) -> Dict[str, Tensor]:
        """Return the float64 sums for a checkpoint; empty before the first sample."""
        return dict(self._sums or {})

    def load_state_dict(self, sums: Dict[str, Tensor], like: Dict[str, Tensor]) -> None:
        """Take up saved sums; ``like`` gives the dtypes of the weights."""
        self._sums = {name: value.clone() for name, value in sums.items()} or None
        self._dtypes = {name: value.dtype for name, value in like.items()}


def _wide(value: Tensor) -> Tensor:
    return value.to(torch.float64, copy=True) if value.is_floating_point() else value.clone()
