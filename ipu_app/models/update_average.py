"""An exponential average of a model's tensors with a sample after every weight update.

As EfficientNetV2 was trained (github google/automl): weights and moving statistics, and a decay that begins
low, min(most, (1 + t) / (10 + t)) at the t-th update, so that the start is forgotten.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional

import torch
from torch import Tensor, nn


def decay_at(update: int, most: float) -> float:
    """The decay of the average at this update, from 1."""
    return min(most, (1 + update) / (10 + update))


def decay_over(first: int, last: int, most: float) -> float:
    """What is left of the average after the updates ``first`` .. ``last``: the product of their decays."""
    left, low = 1.0, first
    while low <= last and decay_at(low, most) < most:
        left *= decay_at(low, most)
        low += 1
    return left * most ** max(0, last - low + 1)


class UpdateAverage:
    """Follows ``model``'s own tensors, on its device, in their types; whole numbers are not averaged."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self._model = model
        own = {name: value for name, value in model.state_dict().items() if value.is_floating_point()}
        self._names, self._own = list(own), list(own.values())  # views: they change with the model
        self._mean: List[Tensor] = [value.detach().clone() for value in self._own]

    @torch.no_grad()
    def add(self) -> None:
        """Take the weights as they are after an update."""
        self.updates += 1
        decay = decay_at(self.updates, self.decay)
        torch._foreach_mul_(self._mean, decay)
        torch._foreach_add_(self._mean, self._own, alpha=1 - decay)

    @torch.no_grad()
    def restart(self) -> None:
        """Begin anew from the model's present weights."""
        self.updates = 0
        for mean, own in zip(self._mean, self._own):
            mean.copy_(own)

    def weights(self) -> Dict[str, Tensor]:
        """The average, under the names of the model's state; tensors are copies on the host."""
        found = dict(self._model.state_dict())
        found.update(zip(self._names, self._mean))
        return {name: value.detach().to("cpu", copy=True) for name, value in found.items()}

    def state_dict(self) -> Dict[str, Any]:
        """What a checkpoint needs."""
        mean = {name: value.to("cpu", copy=True) for name, value in zip(self._names, self._mean)}
        return {"updates": self.updates, "mean": mean}

    @torch.no_grad()
    def load_state_dict(self, state: Optional[Dict[str, Any]]) -> None:
        """Take up what ``state_dict`` returned; None begins anew, and so do tensors that it has not."""
        self.restart()
        if state is None:
            return
        self.updates = int(state["updates"])
        for name, value in zip(self._names, self._mean):
            if name in state["mean"]:
                value.copy_(state["mean"][name])
