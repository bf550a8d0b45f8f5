"""The rules of the trace for norms."""

from __future__ import annotations

from typing import Any, List

import torch
from torch import Tensor

from .._errors import cpp_error
from .graph import op_name
from .recording import Args, Kwargs, convert, record
from .tracer import Tracer


def _check_affine(tracer: Tracer, func: Any, weight: Any, bias: Any) -> None:
    """PopTorch fills in ones and zeros for a norm that has neither, but not for one that has one of them."""
    if (weight is None) != (bias is None):
        missing = "bias" if bias is None else "weight"
        raise cpp_error(
            f"isNone(*weight) != isNone(*bias): aten::{op_name(func)} in '{tracer.paths.current}' has no "
            f"{missing}; give zeros for a bias and ones for a weight, or neither",
            type="poptorch_cpp_error",
        )


def layer_norm(tracer: Tracer, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """Affine by both or by neither."""
    _check_affine(tracer, func, *args[2:4])
    return record(tracer, func, args, kwargs)


def batch_norm(tracer: Tracer, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """Running statistics are written into buffers of the model only; other tensors stay what they were. The
    forward goes on to see them as they were before.
    """
    _check_affine(tracer, func, *args[1:3])
    state = set(tracer.graph.state.values())
    args = list(args)
    for position in (3, 4):
        if args[position] is not None and tracer.number_of(args[position]) not in state:
            args[position] = record(tracer, torch.ops.aten.clone.default, (args[position],), {})
    before = [_copy_of(tracer, args[position]) for position in (3, 4)]
    result = record(tracer, func, tuple(args), kwargs)
    for position, copy in zip((3, 4), before):
        if copy is not None:
            tracer.hold_before_update(tracer.number_of(args[position]), tracer.number_of(copy))
    return result


def _copy_of(tracer: Tracer, statistics: Any) -> Any:
    """A copy for later readers; one that nobody reads is dropped when the graph is pruned."""
    if statistics is None:
        return None
    return record(tracer, torch.ops.aten.clone.default, (statistics,), {})


def group_norm(tracer: Tracer, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """With groupNormStridedChannelGrouping channel c is in group c % G, not c // (C / G)."""
    x, weight, bias, batch, channels, size, groups, eps = args
    _check_affine(tracer, func, weight, bias)
    if not tracer.has_strided_groups or groups in (1, channels):
        return record(tracer, func, args, kwargs)
    shape = list(x.shape)
    inner = channels // groups
    gathered = _swapped(tracer, x, [batch, inner, groups, size], [batch, channels, size])
    normed, mean, rstd = record(tracer, func, (gathered, None, None, batch, channels, size, groups, eps), {})
    result = _swapped(tracer, normed, [batch, groups, inner, size], shape)
    per_channel = [1, channels] + [1] * (len(shape) - 2)
    for operation, factor in ((torch.ops.aten.mul.Tensor, weight), (torch.ops.aten.add.Tensor, bias)):
        if factor is not None:
            factor = factor if factor.dtype == x.dtype else convert(tracer, factor, x.dtype)
            factor = record(tracer, torch.ops.aten.view.default, (factor, per_channel), {})
            result = record(tracer, operation, (result, factor), {})
    return result, mean, rstd


def _swapped(tracer: Tracer, x: Tensor, split: List[int], shape: List[int]) -> Tensor:
    """Split channels in two, swap the parts and join them again."""
    parts = record(tracer, torch.ops.aten.view.default, (x, split), {})
    parts = record(tracer, torch.ops.aten.permute.default, (parts, [0, 2, 1, 3]), {})
    parts = record(tracer, torch.ops.aten.clone.default, (parts,), {"memory_format": torch.contiguous_format})
    joined: Tensor = record(tracer, torch.ops.aten.view.default, (parts, shape), {})
    return joined
