"""The average of a phase's weights: after every epoch, or after every update where the runtime sees them.

A runtime that sees every update keeps that average itself. An IPU's host sees the weights once an epoch:
there each epoch's weights are taken with what the epoch's updates would have left of the average, the product
of their decays, so that its memory reaches as far back.
"""

from __future__ import annotations

from typing import Any, Dict, Optional

from torch import Tensor

from ipu_app.models.update_average import decay_over
from ipu_app.runtime.base import Runtime
from ipu_app.training.averaging import WeightAverage

Weights = Dict[str, Tensor]


class PhaseAverage:
    """``decay`` 0 averages nothing; it is an update's with ``per_update``, else an epoch's."""

    def __init__(self, decay: float, *, per_update: bool = False) -> None:
        self._decay, self._per_update = decay, per_update
        self._samples = WeightAverage(decay)

    def end_epoch(self, runtime: Runtime, weights: Weights, *, epoch: int, updates: int) -> Weights:
        """Take an epoch's last weights; return the average. ``updates`` are those of each epoch, from 0."""
        if self._decay == 0:
            return weights
        seen = runtime.averaged_weights()
        if seen is not None:
            return seen
        first, last = epoch * updates + 1, (epoch + 1) * updates
        self._samples.add(weights, decay_over(first, last, self._decay) if self._per_update else None)
        return self._samples.weights()

    def now(self, runtime: Runtime, weights: Weights) -> Weights:
        """Return the average as it is; the weights themselves where there is none yet."""
        seen = runtime.averaged_weights()
        if seen is not None:
            return seen
        return self._samples.weights() if self._samples.state_dict() else weights

    def state_dict(self) -> Weights:
        """Return the samples' sums; a runtime's own average is in its state."""
        return self._samples.state_dict()

    def resume(self, runtime: Runtime, state: Dict[str, Any], averaged: Optional[Weights]) -> None:
        """Take up a saved state, after the runtime has its own.

        ``averaged`` is the average that was saved, whoever kept it: what another kind of device begins with.
        """
        self._samples.load_state_dict(state["average"], runtime.weights())
        is_new = self._decay > 0 and self._per_update and averaged is not None
        if is_new and runtime.averaged_weights() is None and not self._samples.state_dict():
            self._samples.add(averaged or {})
