"""Floating point exceptions: the first operation that makes a NaN or an infinity out of finite values stops
the run (Precision.enableFloatingPointExceptions).

As in IEEE arithmetic, an infinity that was put there on purpose (a mask of -inf) may be computed with; an
invalid result (inf - inf) stops as well. Operations that only move or make values are not looked at.
"""

from __future__ import annotations

from typing import Callable, Tuple

import torch
from torch import Tensor

from .._errors import cpp_error
from ..trace.graph import Node
from ..trace.rules_ops import FACTORY_OPS, VALUE_PRESERVING_OPS, base_name

#: a comparison with what is not a number is invalid and stops as well
_COMPARISONS = frozenset("lt le gt ge eq ne".split())
_PUT_VALUES = FACTORY_OPS | VALUE_PRESERVING_OPS | {"masked_fill", "fill", "constant_pad_nd", "zero"}


def can_overflow(node: Node) -> bool:
    """Whether an operation computes values rather than moving or making them."""
    return base_name(node.name) not in _PUT_VALUES


def trap(node: Node) -> Callable[[Tuple[Tensor, ...], Tuple[Tensor, ...]], None]:
    """A check of one operation's inputs and outputs; it raises Error where the operation overflows."""
    message = (
        f"Floating point exception: aten::{node.name} in '{node.place.module}' gives a result that is "
        "infinite or not a number. Cast to float32 before it or lower the loss scaling, or switch "
        "Precision.enableFloatingPointExceptions off to see where the values go."
    )

    is_comparison = base_name(node.name) in _COMPARISONS

    def check(inputs: Tuple[Tensor, ...], outputs: Tuple[Tensor, ...]) -> None:
        if is_comparison and any(map(_has_nan, inputs)):
            raise cpp_error(message, "poplar_application_runtime_error")
        if all(_is_finite(tensor) for tensor in outputs):
            return
        invalid = any(_has_nan(tensor) for tensor in outputs) and not any(map(_has_nan, inputs))
        if invalid or all(_is_finite(tensor) for tensor in inputs):
            raise cpp_error(message, "poplar_application_runtime_error")

    return check


def _is_finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(torch.isfinite(tensor).all())


def _has_nan(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and bool(torch.isnan(tensor).any())
