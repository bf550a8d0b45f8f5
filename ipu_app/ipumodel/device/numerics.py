"""Half precision on a host without half kernels: float32 storage, values rounded to float16 after each
operation.

An operation on float16 values is computed in float32 (as the IPU's partials are) and its result rounded, so
it overflows and underflows where float16 does. The gradient that arrives at a rounded value is rounded as
well. Shapes and types come from the trace, which knows the true types.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Set, Tuple

import torch
from torch import Tensor

from ..trace.graph import Graph, Node, map_structure, written_values
from ..trace.rules_ops import VALUE_PRESERVING_OPS, base_name


def to_half_grid(tensor: Tensor) -> Tensor:
    """Round float32 values to the nearest float16 ones, infinities beyond 65504 included."""
    return tensor.half().float()


class _RoundHalf(torch.autograd.Function):
    """Rounds values on the way forward and gradients on the way back."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        return to_half_grid(tensor)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return to_half_grid(grad)


class _RoundHalfInPlace(torch.autograd.Function):
    """The same for a value that an in-place operation has changed."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        ctx.mark_dirty(tensor)
        return tensor.copy_(tensor.half())

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return to_half_grid(grad)


round_half: Callable[[Tensor], Tensor] = _RoundHalf.apply


def _round_in_place(tensor: Tensor) -> None:
    if tensor.requires_grad and torch.is_grad_enabled():
        _RoundHalfInPlace.apply(tensor)
    else:
        tensor.copy_(tensor.half())


def _pass(tensor: Tensor) -> Tensor:
    return tensor


class Emulation:
    """How a program treats float16: nothing to do, or float32 storage with rounding."""

    def __init__(self, graph: Graph, halves: Set[int]) -> None:
        self._graph, self._halves = graph, halves
        self._written: Set[int] = (
            set().union(*(written_values(node) for node in graph.nodes)) if halves else set()
        )

    @classmethod
    def of(cls, graph: Graph) -> "Emulation":
        """The emulation that a graph needs."""
        halves = {number for number, value in enumerate(graph.values) if value.dtype == torch.float16}
        return cls(graph, halves)

    @property
    def is_active(self) -> bool:
        """Whether any value is float16."""
        return bool(self._halves)

    def is_half(self, value: Optional[int]) -> bool:
        """Whether a value is float16 on the device."""
        return value in self._halves

    def stored(self, tensor: Tensor) -> Tensor:
        """A tensor as the program keeps it: float16 in float32 storage."""
        return tensor.float() if tensor.dtype == torch.float16 else tensor

    def adapted(
        self, node: Node, func: Any, args: Tuple[Any, ...], kwargs: Dict[str, Any]
    ) -> Tuple[Any, Tuple[Any, ...], Dict[str, Any]]:
        """The operation with float32 in the place of float16 among its arguments."""
        if not self.is_active:
            return func, args, kwargs
        if node.name == "_to_copy" and self._is_storage_cast(node):
            return _pass, args, {}
        store = lambda item: torch.float32 if item is torch.float16 else item  # noqa: E731
        args, kwargs = map_structure((args, kwargs), store)
        return func, args, kwargs

    def _is_storage_cast(self, node: Node) -> bool:
        """Whether a cast leaves the storage as it is (float16 and float32 share one) and nobody writes into
        it.
        """
        source, target = next(iter(node.reads())), node.outputs[0]
        types = {self._graph.values[value].dtype for value in (source, target) if value is not None}
        return types <= {torch.float16, torch.float32} and not {source, target} & self._written

    def rounded_parameters(self) -> Set[int]:
        """State values that are float16: rounding them where they are read rounds their gradients, too."""
        return {
            value
            for value in self._graph.state.values()
            if value in self._halves and value not in self._written
        }

    def rounded_outputs(self, node: Node) -> List[Tuple[int, bool]]:
        """The results to round, with whether the operation wrote them in place."""
        if not self.is_active or base_name(node.name) in VALUE_PRESERVING_OPS:
            return []
        written = written_values(node)
        return [
            (value, value in written) for value in node.outputs if value is not None and self.is_half(value)
        ]

    def rounding(self, in_place: bool) -> Callable[[Tensor], Any]:
        """The function that rounds a result."""
        return _round_in_place if in_place else round_half
