"""Recording an ATen operation: types brought to what the device shows, shapes worked out, results kept."""

from __future__ import annotations

from typing import Any, Dict, Tuple

import torch
from torch import Tensor

from .._errors import py_error
from .graph import map_structure, op_name, tensors_in, written_tensors
from .rules_ops import INDEX_OPS, base_name
from .tracer import Tracer
from .type_rules import RESULT_TYPE_OF, check_addmm
from .types import device_dtype

Args = Tuple[Any, ...]
Kwargs = Dict[str, Any]

# positions of weight and bias that are cast to the input's type
CAST_TO_INPUT = {
    "convolution": (1, 2),
    "_convolution": (1, 2),
    "native_batch_norm": (1, 2),
    "_native_batch_norm_legit": (1, 2),
    "_native_batch_norm_legit_no_training": (1, 2),
    "_batch_norm_with_update": (1, 2),
    "_batch_norm_no_update": (1, 2),
    "native_group_norm": (1, 2),
    "native_layer_norm": (2, 3),
}


def record(tracer: Tracer, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """Record an operation as it is, but for types."""
    name = base_name(op_name(func))
    args, kwargs = map_structure((args, kwargs), _narrow_dtype)
    if name in CAST_TO_INPUT:
        args = _cast_to_input(tracer, args, CAST_TO_INPUT[name])
    if name == "addmm":
        check_addmm(tracer, args)
    if name in RESULT_TYPE_OF:
        args = _cast_all(tracer, args, args[RESULT_TYPE_OF[name]].dtype)
    if name in INDEX_OPS:
        args = map_structure(args, lambda item: _widen(tracer, item))
    result = run_on_shapes(tracer, func, args, kwargs)
    _check_sizes(tracer, name, result)
    tracer.record(func, args, kwargs, result)
    return _narrow_results(tracer, func, args, result)


def _narrow_dtype(item: Any) -> Any:
    if isinstance(item, torch.dtype):
        return device_dtype(item)
    return item


def convert(tracer: Tracer, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Record a cast, also to types that the device does not show (64-bit indices for CPU kernels)."""
    func = torch.ops.aten._to_copy.default
    result = func(tensor, dtype=dtype)
    tracer.record(func, (tensor,), {"dtype": dtype}, result)
    return result


def _cast_to_input(tracer: Tracer, args: Args, positions: Tuple[int, ...]) -> Args:
    changed = list(args)
    for position in positions:
        weight = changed[position]
        if isinstance(weight, Tensor) and weight.dtype != args[0].dtype and args[0].is_floating_point():
            changed[position] = convert(tracer, weight, args[0].dtype)
    return tuple(changed)


def _cast_all(tracer: Tracer, args: Args, dtype: torch.dtype) -> Args:
    return tuple(
        convert(tracer, item, dtype) if isinstance(item, Tensor) and item.dtype != dtype else item
        for item in args
    )


def _widen(tracer: Tracer, item: Any) -> Any:
    if tracer.is_traced(item) and item.dtype in (torch.int32, torch.int16, torch.int8):
        return convert(tracer, item, torch.int64)
    return item


def _narrow_results(tracer: Tracer, func: Any, args: Args, result: Any) -> Any:
    written = written_tensors(func, args)

    def narrow(item: Any) -> Any:
        if not isinstance(item, Tensor) or any(item is target for target in written):
            return item
        dtype = _narrow_dtype(item.dtype)
        return item if dtype == item.dtype else convert(tracer, item, dtype)

    return map_structure(result, narrow)


def run_on_shapes(tracer: Tracer, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """Shapes and types of the results; through zeros on the host where torch has no shape rule."""
    for tensor in tensors_in((args, kwargs)):
        tracer.ref(tensor, op_name(func))
    try:
        return func(*args, **kwargs)
    except NotImplementedError:
        return _run_on_zeros(tracer, func, args, kwargs)
    except RuntimeError as error:
        if tracer.squeezed_means:
            raise py_error(
                f"aten::{op_name(func)} in '{tracer.paths.current}': {error}. Note that "
                f"{tracer.squeezed_means[-1]} returned a squeezed mean: use x.mean(d, keepdim=True) and (x "
                "- m).square().mean(d, keepdim=True)."
            ) from error
        if type(error) is RuntimeError and tracer.paths.current:
            raise RuntimeError(f"{error} (aten::{op_name(func)} in '{tracer.paths.current}')") from error
        raise


def _run_on_zeros(tracer: Tracer, func: Any, args: Args, kwargs: Kwargs) -> Any:
    def zeros(item: Any) -> Any:
        if isinstance(item, Tensor):
            return torch.Tensor().new_zeros(tuple(item.shape), dtype=item.dtype)
        if isinstance(item, torch.device):
            return torch.device("cpu")
        return item

    meta = torch.device("meta")
    try:
        result = func(*map_structure(args, zeros), **map_structure(kwargs, zeros))
    except RuntimeError:
        tracer.check_finished()  # an operation without a handler is refused for that
        raise
    return map_structure(result, lambda item: item.to(meta) if isinstance(item, Tensor) else item)


def _check_sizes(tracer: Tracer, name: str, result: Any) -> None:
    first = result[0] if isinstance(result, (tuple, list)) and result else result
    if not isinstance(first, Tensor) or first.numel() or (name == "empty" and first.dtype == torch.uint8):
        return
    raise py_error(
        f"Zero-sized tensors are unsupported (Got shape {list(first.shape)}): aten::{name} in "
        f"'{tracer.paths.current}'."
    )
