"""What becomes of a weight update that is no finite number: the run stops, or the update is left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence

import torch
from torch import Tensor, nn

MOST_IN_A_ROW = 50  # updates left out one after the other, after which nothing is learnt any more
GROWTH_UPDATES = 2000  # good ones after which an automatic loss scale is doubled
LARGEST_SCALE = 2.0**24


class NonFinite(ArithmeticError):
    """An update is no finite number, and the run is not to go on; the text says where it began."""


@dataclass
class LossScale:
    """The factor that keeps small gradients above half precision's smallest number.

    ``auto``: halved where an update overflows (which is left out), doubled after ``GROWTH_UPDATES`` good
    ones; else it is whatever each call says.
    """

    auto: bool = False
    value: Optional[float] = None
    good: int = 0

    def now(self, configured: float) -> float:
        """Return the factor of the next update."""
        if not self.auto:
            return configured
        self.value = configured if self.value is None else self.value
        return self.value

    def can_shrink(self) -> bool:
        """Whether an overflow may have come of the scale alone; if so it is halved."""
        if not self.auto or self.value is None or self.value <= 1:
            return False
        self.value, self.good = max(self.value / 2, 1.0), 0
        return True

    def grow(self) -> None:
        """Count a good update."""
        self.good += 1
        if self.auto and self.value is not None and self.good >= GROWTH_UPDATES:
            self.value, self.good = min(self.value * 2, LARGEST_SCALE), 0

    def state_dict(self) -> Dict[str, Any]:
        """Return what resuming needs."""
        return {"value": self.value, "good": self.good} if self.auto else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what ``state_dict`` returned, where the scale is automatic."""
        if self.auto and state:
            self.value, self.good = state["value"], state["good"]


def all_finite(tensors: Sequence[Tensor]) -> bool:
    """Tell whether all numbers of all tensors are finite; waits for the device."""
    if not tensors:
        return True
    sums = torch._foreach_norm(list(tensors), 1)  # of squares, large ones would overflow before
    return bool(torch.isfinite(torch.stack([value.float() for value in sums])).all())


def first_bad_block(graph: Any, batch: Sequence[Tensor], others: Any) -> str:
    """Return in words where the numbers first went wrong: weights, forward pass, or backward pass.

    ``others`` is the context that the graph runs in. Call it before the gradients are thrown away.
    """
    blocks: Mapping[str, nn.Module] = graph.model.blocks
    for name, block in blocks.items():
        if not all_finite([p.detach() for p in block.parameters()]):
            return f"weights of block {name}"
    found: List[str] = []
    handles = [
        block.register_forward_hook(lambda _, __, out, name=name: _note(found, name, out))  # type: ignore[misc]
        for name, block in blocks.items()
    ]
    try:
        with torch.no_grad(), others:
            graph(*batch)
    finally:
        for handle in handles:
            handle.remove()
    if found:
        return f"output of block {found[0]}"
    for name, block in reversed(list(blocks.items())):
        if not all_finite([p.grad for p in block.parameters() if p.grad is not None]):
            return f"gradient of block {name}"
    return "the loss"


def _note(found: List[str], name: str, output: Any) -> None:
    if isinstance(output, Tensor) and not bool(torch.isfinite(output).all()):
        found.append(name)
