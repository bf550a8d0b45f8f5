"""The rules of the trace at the level of ATen operations: refused, changed, or recorded as they are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Tuple

import torch
from torch import Tensor

from ._errors import py_error
from ._graph import leaves, map_structure, mutated_positions, op_name, tensors_in
from ._rules_ops import DATA_DEPENDENT_OPS, INDEX_OPS, PROMOTED_OPS, base_name, is_supported, remedy_for

if TYPE_CHECKING:
    from .tracing import Tracer

Args = Tuple[Any, ...]
Kwargs = Dict[str, Any]

_READS_VALUES = {"_local_scalar_dense": "item", "item": "item", "is_nonzero": "item", "equal": "equal"}
# positions of weight and bias that are cast to the input's type
_CAST_TO_INPUT = {
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


def dispatch(tracer: "Tracer", func: Any, args: Args, kwargs: Kwargs) -> Any:
    """Handle one ATen operation met by the trace."""
    name = op_name(func)
    if tracer.is_paused or not _on_device(tracer, args, kwargs):
        return func(*args, **kwargs)
    if _leaves_device(kwargs):
        raise _unreadable(tracer, name, "cpu()")
    if name == "_to_copy" and not tracer.is_traced(args[0]):
        return tracer.constant(args[0].to(kwargs.get("dtype") or args[0].dtype))
    _check_allowed(tracer, name, func, args)
    rule = _RULES.get(base_name(name), _plain)
    return rule(tracer, func, args, kwargs)


def written_tensors(func: Any, args: Args) -> List[Any]:
    """The arguments that an operation writes into."""
    return [args[position] for position in mutated_positions(func) if position < len(args)]


def _on_device(tracer: "Tracer", args: Args, kwargs: Kwargs) -> bool:
    device = kwargs.get("device")
    if device is not None and torch.device(device).type == "meta":
        return True
    return any(tracer.is_traced(item) for item in leaves((args, kwargs)))


def _leaves_device(kwargs: Kwargs) -> bool:
    device = kwargs.get("device")
    return device is not None and torch.device(device).type != "meta"


def _unreadable(tracer: "Tracer", op: str, what: str) -> Exception:
    return py_error(
        f"aten::{op} is only supported in eager mode, it is eager-only: {what} in '{tracer.paths.current}' "
        "would read the value of an IPU tensor while the model is compiled. Use torch.where or masks for "
        "decisions, and return what you want to see as an output."
    )


def _check_allowed(tracer: "Tracer", name: str, func: Any, args: Args) -> None:
    if name in _READS_VALUES:
        raise _unreadable(tracer, _READS_VALUES[name], "item(), float(), int(), bool() or `if tensor`")
    if base_name(name) in DATA_DEPENDENT_OPS:
        raise data_dependent(tracer, name)
    if base_name(name) == "index" and _has_mask(args):
        raise data_dependent(tracer, "nonzero", "indexing with a boolean mask")
    if not is_supported(name):
        tracer.refuse_later(func)


def data_dependent(tracer: "Tracer", name: str, how: str = "") -> Exception:
    """The Error for an operation whose result's shape depends on values."""
    return py_error(
        f"Operations using aten::{name} are unsupported because the output shape is determined by the "
        f"tensor values ({how or name} in '{tracer.paths.current}'). The IPU cannot support dynamic output "
        f"shapes: {remedy_for('nonzero')}."
    )


def _has_mask(args: Args) -> bool:
    indices = args[1] if len(args) > 1 and isinstance(args[1], (list, tuple)) else ()
    return any(isinstance(item, Tensor) and item.dtype in (torch.bool, torch.uint8) for item in indices)


# ---- recording


def _plain(tracer: "Tracer", func: Any, args: Args, kwargs: Kwargs) -> Any:
    name = base_name(op_name(func))
    args, kwargs = map_structure((args, kwargs), _narrow_dtype)
    if name in _CAST_TO_INPUT:
        args = _cast_to_input(tracer, args, _CAST_TO_INPUT[name])
    if name in PROMOTED_OPS:
        args = _promote(tracer, args)
    if name in INDEX_OPS:
        args = map_structure(args, lambda item: _widen(tracer, item))
    result = run_on_shapes(tracer, func, args, kwargs)
    _check_sizes(tracer, name, result)
    tracer.record(func, args, kwargs, result)
    return _narrow_results(tracer, func, args, result)


def _narrow_dtype(item: Any) -> Any:
    if isinstance(item, torch.dtype):
        from .tracing import device_dtype

        return device_dtype(item)
    return item


def convert(tracer: "Tracer", tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Record a cast, also to types that the device does not show (64-bit indices for CPU kernels)."""
    func = torch.ops.aten._to_copy.default
    result = func(tensor, dtype=dtype)
    tracer.record(func, (tensor,), {"dtype": dtype}, result)
    return result


def _cast_to_input(tracer: "Tracer", args: Args, positions: Tuple[int, ...]) -> Args:
    changed = list(args)
    for position in positions:
        weight = changed[position]
        if isinstance(weight, Tensor) and weight.dtype != args[0].dtype and args[0].is_floating_point():
            changed[position] = convert(tracer, weight, args[0].dtype)
    return tuple(changed)


def _promote(tracer: "Tracer", args: Args) -> Args:
    dtypes = {item.dtype for item in args if isinstance(item, Tensor)}
    if dtypes != {torch.float16, torch.float32}:
        return args
    return tuple(
        convert(tracer, item, torch.float32)
        if isinstance(item, Tensor) and item.dtype == torch.float16
        else item
        for item in args
    )


def _widen(tracer: "Tracer", item: Any) -> Any:
    if tracer.is_traced(item) and item.dtype in (torch.int32, torch.int16, torch.int8):
        return convert(tracer, item, torch.int64)
    return item


def _narrow_results(tracer: "Tracer", func: Any, args: Args, result: Any) -> Any:
    written = written_tensors(func, args)

    def narrow(item: Any) -> Any:
        if not isinstance(item, Tensor) or any(item is target for target in written):
            return item
        dtype = _narrow_dtype(item.dtype)
        return item if dtype == item.dtype else convert(tracer, item, dtype)

    return map_structure(result, narrow)


def run_on_shapes(tracer: "Tracer", func: Any, args: Args, kwargs: Kwargs) -> Any:
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
        raise


def _run_on_zeros(tracer: "Tracer", func: Any, args: Args, kwargs: Kwargs) -> Any:
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


def _check_sizes(tracer: "Tracer", name: str, result: Any) -> None:
    first = result[0] if isinstance(result, (tuple, list)) and result else result
    if not isinstance(first, Tensor) or first.numel() or (name == "empty" and first.dtype == torch.uint8):
        return
    raise py_error(
        f"Zero-sized tensors are unsupported (Got shape {list(first.shape)}): aten::{name} in "
        f"'{tracer.paths.current}'."
    )


# ---- operations with rules of their own


def _arange(tracer: "Tracer", func: Any, args: Args, kwargs: Kwargs) -> Any:
    numbers = list(args) + [kwargs[key] for key in ("start", "end", "step") if key in kwargs]
    if any(isinstance(number, float) for number in numbers):
        raise py_error(
            f"aten::arange in '{tracer.paths.current}': only integers are supported, got {tuple(numbers)}. "
            "Use torch.arange(n).float() * step + start."
        )
    start, end, step = _range(numbers)
    count = (end - start) // step
    if count != math.ceil((end - start) / step):
        tracer.warn(
            f"aten::arange({start}, {end}, {step}) in '{tracer.paths.current}' has {count} elements on the "
            "IPU: the step does not divide the range. Use torch.arange(n) * step."
        )
    options = {key: value for key, value in kwargs.items() if key not in ("start", "end", "step")}
    full = torch.ops.aten.arange.start_step
    return _plain(tracer, full, (start, start + count * step, step), options)


def _range(numbers: List[int]) -> Tuple[int, int, int]:
    if len(numbers) == 1:
        return 0, numbers[0], 1
    return numbers[0], numbers[1], numbers[2] if len(numbers) > 2 else 1


def _spread(tracer: "Tracer", func: Any, args: Args, kwargs: Kwargs) -> Any:
    """var and std know biased and unbiased only: any other correction is read as 1."""
    correction = kwargs.get("correction")
    if correction not in (None, 0, 1):
        tracer.warn(
            f"aten::{op_name(func)} in '{tracer.paths.current}': correction={correction} is read as 1 on the "
            "IPU. Use two mean calls for another one."
        )
        kwargs = {**kwargs, "correction": 1}
    return _plain(tracer, func, args, kwargs)


def _var_mean(tracer: "Tracer", func: Any, args: Args, kwargs: Kwargs) -> Any:
    spread, mean = _spread(tracer, func, args, kwargs)
    dims = _reduced_dims(args)
    if spread.dim() != args[0].dim() or not dims:
        return spread, mean
    note = f"aten::{op_name(func)}(keepdim=True) in '{tracer.paths.current}'"
    tracer.squeezed_means.append(note)
    tracer.warn(f"{note}: the mean is squeezed on the IPU; use two mean calls")
    for dim in sorted((dim % args[0].dim() for dim in dims), reverse=True):
        squeeze = torch.ops.aten.squeeze.dim
        mean = _plain(tracer, squeeze, (mean, dim), {})
    return spread, mean


def _reduced_dims(args: Args) -> List[int]:
    dims = args[1] if len(args) > 1 else None
    if isinstance(dims, int) and not isinstance(dims, bool):
        return [dims]
    return list(dims) if isinstance(dims, (list, tuple)) and dims else list(range(args[0].dim()))


def _convolution(tracer: "Tracer", func: Any, args: Args, kwargs: Kwargs) -> Any:
    dilation, is_transposed = args[5], args[6]
    if is_transposed and any(step != 1 for step in dilation):
        raise py_error(
            f"aten::{op_name(func)} in '{tracer.paths.current}': dilation of a transposed convolution is not "
            f"supported, got {list(dilation)}. Use dilation=1, or upsample and a plain convolution."
        )
    return _plain(tracer, func, args, kwargs)


def _adaptive_pool(tracer: "Tracer", func: Any, args: Args, kwargs: Kwargs) -> Any:
    sizes = [args[1]] if isinstance(args[1], int) else list(args[1])
    spatial = list(args[0].shape[-len(sizes) :])
    if any(size % out for size, out in zip(spatial, sizes)):
        raise py_error(
            f"aten::{op_name(func)} in '{tracer.paths.current}': input size {spatial} must be divisible by "
            f"the output size {sizes}. For global pooling use x.mean((2, 3)) or output size 1."
        )
    return _plain(tracer, func, args, kwargs)


def _nll(tracer: "Tracer", func: Any, args: Args, kwargs: Kwargs) -> Any:
    if len(args) > 2 and args[2] is not None:
        raise py_error(
            f"aten::nll_loss in '{tracer.paths.current}': weight is not supported (nll_loss and "
            "cross_entropy). Multiply the per-sample losses (reduction='none') by their weights."
        )
    result = _plain(tracer, func, args, kwargs)
    loss = result[0] if isinstance(result, tuple) else result
    number = tracer.number_of(loss)
    assert number is not None
    tracer.losses.mark(number, "nll_loss", tracer.paths.current, explicit=False)
    return result


def _topk(tracer: "Tracer", func: Any, args: Args, kwargs: Kwargs) -> Any:
    is_sorted = args[4] if len(args) > 4 else kwargs.get("sorted", True)
    if not is_sorted:
        raise py_error(f"aten::topk in '{tracer.paths.current}': only sorted=True is supported.")
    return _plain(tracer, func, args, kwargs)


def _index_put(tracer: "Tracer", func: Any, args: Args, kwargs: Kwargs) -> Any:
    """Masks come only from torch's own composites here; filling by a mask has a fixed shape."""
    if not _has_mask(args):
        return _plain(tracer, func, args, kwargs)
    if len(args[1]) != 1 or args[2].numel() != 1:
        raise data_dependent(tracer, "nonzero", "indexing with a boolean mask")
    fill = (
        torch.ops.aten.masked_fill_.Tensor
        if op_name(func).endswith("_")
        else torch.ops.aten.masked_fill.Tensor
    )
    value = args[2] if args[2].dim() == 0 else _plain(tracer, torch.ops.aten.view.default, (args[2], []), {})
    return _plain(tracer, fill, (args[0], args[1][0], value), {})


def _group_norm(tracer: "Tracer", func: Any, args: Args, kwargs: Kwargs) -> Any:
    """With groupNormStridedChannelGrouping channel c is in group c % G, not c // (C / G)."""
    x, weight, bias, batch, channels, size, groups, eps = args
    if not tracer.has_strided_groups or groups in (1, channels):
        return _plain(tracer, func, args, kwargs)
    shape = list(x.shape)
    inner = channels // groups
    gathered = _swapped(tracer, x, [batch, inner, groups, size], [batch, channels, size])
    normed, mean, rstd = _plain(tracer, func, (gathered, None, None, batch, channels, size, groups, eps), {})
    result = _swapped(tracer, normed, [batch, groups, inner, size], shape)
    per_channel = [1, channels] + [1] * (len(shape) - 2)
    for operation, factor in ((torch.ops.aten.mul.Tensor, weight), (torch.ops.aten.add.Tensor, bias)):
        if factor is not None:
            factor = factor if factor.dtype == x.dtype else convert(tracer, factor, x.dtype)
            factor = _plain(tracer, torch.ops.aten.view.default, (factor, per_channel), {})
            result = _plain(tracer, operation, (result, factor), {})
    return result, mean, rstd


def _swapped(tracer: "Tracer", x: Tensor, split: List[int], shape: List[int]) -> Tensor:
    """Split channels in two, swap the parts and join them again."""
    parts = _plain(tracer, torch.ops.aten.view.default, (x, split), {})
    parts = _plain(tracer, torch.ops.aten.permute.default, (parts, [0, 2, 1, 3]), {})
    parts = _plain(tracer, torch.ops.aten.clone.default, (parts,), {"memory_format": torch.contiguous_format})
    joined: Tensor = _plain(tracer, torch.ops.aten.view.default, (parts, shape), {})
    return joined


_RULES: Dict[str, Callable[["Tracer", Any, Args, Kwargs], Any]] = {
    "arange": _arange,
    "convolution": _convolution,
    "_convolution": _convolution,
    "var": _spread,
    "std": _spread,
    "var_mean": _var_mean,
    "std_mean": _var_mean,
    "_adaptive_avg_pool2d": _adaptive_pool,
    "_adaptive_avg_pool3d": _adaptive_pool,
    "nll_loss_forward": _nll,
    "nll_loss2d_forward": _nll,
    "topk": _topk,
    "native_group_norm": _group_norm,
    "index_put": _index_put,
    "_index_put_impl": _index_put,
}
