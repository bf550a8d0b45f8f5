"""The rules of the trace for indexing: lists of numbers, boolean masks read and assigned through."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Tuple

import torch
from torch import Tensor

from .._errors import dynamic_shape_error, py_error
from .rules_ops import remedy_for
from .tracer import Tracer

Args = Tuple[Any, ...]
Kwargs = Dict[str, Any]
_host_tensor = torch.tensor  # as it is outside of a trace, which replaces the name
_WRITERS = ("__setitem__", "index_put", "index_put_")


def masked_shape(tracer: Tracer, how: str) -> RuntimeError:
    """torch's exception for a shape that depends on values."""
    return dynamic_shape_error(
        f"Type inference failed for aten::nonzero because the output shape is determined by the tensor "
        f"values ({how} in '{tracer.paths.current}'). The IPU cannot support dynamic output shapes: "
        f"{remedy_for('nonzero')}."
    )


def data_dependent(tracer: Tracer, name: str) -> Exception:
    """The error for an operation whose result's shape depends on values."""
    if name in ("masked_select", "unique", "_unique", "_unique2", "unique_dim", "unique_consecutive"):
        return masked_shape(tracer, name)
    return py_error(
        f"Operations using aten::{name} are unsupported because the output shape is determined by the "
        f"tensor values ({name} in '{tracer.paths.current}'). The IPU cannot support dynamic output "
        f"shapes: {remedy_for('nonzero')}."
    )


def is_mask(part: Any) -> bool:
    """Whether an index chooses by true and false."""
    return isinstance(part, Tensor) and part.dtype in (torch.bool, torch.uint8)


def assign_masked(target: Tensor, mask: Tensor, values: Any) -> Tensor:
    """Write ``values``, broadcast against the whole tensor, where a mask of its first dimensions is true."""
    mask = mask if mask.dtype == torch.bool else mask.to(torch.bool)
    mask = mask.reshape(tuple(mask.shape) + (1,) * (target.dim() - mask.dim()))
    if not isinstance(values, Tensor):
        return target.masked_fill_(mask, values)
    return target.copy_(torch.where(mask, values.to(target.dtype), target))


def _assign(tracer: Tracer, func: Any, args: Args) -> Any:
    """Through one mask: of a fixed shape, unlike a read."""
    index = args[1]
    mask = index[0] if isinstance(index, (tuple, list)) else index
    if func.__name__ == "index_put":
        return assign_masked(args[0].clone(), mask, args[2])
    result = assign_masked(args[0], mask, args[2])
    return None if func.__name__ == "__setitem__" else result


def indexing(tracer: Tracer, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """Lists of numbers become constants (torch would make host tensors of them); masks choose nothing."""
    if not args or not tracer.is_traced(args[0]) or len(args) < 2:
        return func(*args, **kwargs)
    index, is_put = args[1], func.__name__.startswith("index_put")
    parts = list(index) if isinstance(index, tuple) or is_put else [index]
    if any(is_mask(part) for part in parts):
        if func.__name__ in _WRITERS and len(parts) == 1 and len(args) > 2:
            return _assign(tracer, func, args)
        raise masked_shape(tracer, "indexing with a boolean mask")
    parts = [tracer.constant(_host_tensor(part)) if _is_number_list(part) else part for part in parts]
    new_index = tuple(parts) if isinstance(index, tuple) or is_put else parts[0]
    return func(args[0], new_index, *args[2:], **kwargs)


def _is_number_list(part: Any) -> bool:
    return isinstance(part, list) and bool(part) and all(type(item) is int for item in part)


def _take_along_dim(tracer: Tracer, func: Any, args: Args, kwargs: Kwargs) -> Any:
    source, indices = args[0], args[1] if len(args) > 1 else kwargs["indices"]
    dim = args[2] if len(args) > 2 else kwargs.get("dim")
    if not tracer.is_traced(source) or not tracer.is_traced(indices):
        return func(*args, **kwargs)
    if dim is None:
        return torch.gather(source.flatten(), 0, indices.flatten())
    shape = list(torch.broadcast_shapes(*(_without(tensor.shape, dim) for tensor in (source, indices))))
    return torch.gather(_spread(source, shape, dim), dim, _spread(indices, shape, dim))


def _without(shape: Any, dim: int) -> Tuple[int, ...]:
    sizes = list(shape)
    sizes[dim] = 1
    return tuple(sizes)


def _spread(tensor: Tensor, shape: List[int], dim: int) -> Tensor:
    sizes = list(shape)
    sizes[dim] = tensor.shape[dim]
    return tensor.expand(sizes)


def _one_hot(tracer: Tracer, func: Any, args: Args, kwargs: Kwargs) -> Any:
    labels = args[0] if args else kwargs["tensor"]
    if not tracer.is_traced(labels):
        return func(*args, **kwargs)
    num_classes = args[1] if len(args) > 1 else kwargs.get("num_classes", -1)
    if num_classes < 0:
        raise py_error(
            "OneHot num classes must be specified and must be constant: aten::one_hot in "
            f"'{tracer.paths.current}', num_classes must be given, it cannot be found from the values."
        )
    classes = torch.arange(num_classes, device=labels.device)
    return (labels.unsqueeze(-1) == classes).to(torch.int32)


def _repeat_interleave(tracer: Tracer, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """torch makes a host tensor of the repeats, which then meets the device's."""
    if args and tracer.is_traced(args[0]):
        raise RuntimeError(
            f"Expected all tensors to be on the same device: repeat_interleave in '{tracer.paths.current}' "
            "puts its repeats on the host. Use unsqueeze, expand and flatten."
        )
    return func(*args, **kwargs)


RULES: Dict[str, Callable[[Tracer, Any, Args, Kwargs], Any]] = {
    **dict.fromkeys(("__getitem__", *_WRITERS), indexing),
    "one_hot": _one_hot,
    "take_along_dim": _take_along_dim,
    "repeat_interleave": _repeat_interleave,
}
