"""The rules of the trace at the level of ATen operations: refused, changed, or recorded as they are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Tuple

import torch
from torch import Tensor

from .._errors import py_error
from .graph import leaves, op_name
from .recording import CAST_TO_INPUT, Args, Kwargs, record
from .rules_norms import batch_norm, group_norm, layer_norm
from .rules_ops import DATA_DEPENDENT_OPS, base_name, is_supported, remedy_for

if TYPE_CHECKING:
    from .tracer import Tracer

_READS_VALUES = {"_local_scalar_dense": "item", "item": "item", "is_nonzero": "item", "equal": "equal"}


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
    rule = _RULES.get(base_name(name), record)
    return rule(tracer, func, args, kwargs)


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
    return record(tracer, full, (start, start + count * step, step), options)


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
    return record(tracer, func, args, kwargs)


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
        mean = record(tracer, squeeze, (mean, dim), {})
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
    return record(tracer, func, args, kwargs)


def _adaptive_pool(tracer: "Tracer", func: Any, args: Args, kwargs: Kwargs) -> Any:
    sizes = [args[1]] if isinstance(args[1], int) else list(args[1])
    spatial = list(args[0].shape[-len(sizes) :])
    if any(size % out for size, out in zip(spatial, sizes)):
        raise py_error(
            f"aten::{op_name(func)} in '{tracer.paths.current}': input size {spatial} must be divisible by "
            f"the output size {sizes}. For global pooling use x.mean((2, 3)) or output size 1."
        )
    return record(tracer, func, args, kwargs)


def _nll(tracer: "Tracer", func: Any, args: Args, kwargs: Kwargs) -> Any:
    if len(args) > 2 and args[2] is not None:
        raise py_error(
            f"aten::nll_loss in '{tracer.paths.current}': weight is not supported (nll_loss and "
            "cross_entropy). Multiply the per-sample losses (reduction='none') by their weights."
        )
    result = record(tracer, func, args, kwargs)
    loss = result[0] if isinstance(result, tuple) else result
    number = tracer.number_of(loss)
    assert number is not None
    tracer.losses.mark(number, "nll_loss", tracer.paths.current, explicit=False)
    return result


def _topk(tracer: "Tracer", func: Any, args: Args, kwargs: Kwargs) -> Any:
    is_sorted = args[4] if len(args) > 4 else kwargs.get("sorted", True)
    if not is_sorted:
        raise py_error(f"aten::topk in '{tracer.paths.current}': only sorted=True is supported.")
    return record(tracer, func, args, kwargs)


def _index_put(tracer: "Tracer", func: Any, args: Args, kwargs: Kwargs) -> Any:
    """Masks come only from torch's own composites here; filling by a mask has a fixed shape."""
    if not _has_mask(args):
        return record(tracer, func, args, kwargs)
    if len(args[1]) != 1 or args[2].numel() != 1:
        raise data_dependent(tracer, "nonzero", "indexing with a boolean mask")
    fill = (
        torch.ops.aten.masked_fill_.Tensor
        if op_name(func).endswith("_")
        else torch.ops.aten.masked_fill.Tensor
    )
    value = args[2] if args[2].dim() == 0 else record(tracer, torch.ops.aten.view.default, (args[2], []), {})
    return record(tracer, fill, (args[0], args[1][0], value), {})


_BATCH_NORMS = tuple(name for name in CAST_TO_INPUT if "batch_norm" in name)
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
    "native_group_norm": group_norm,
    "native_layer_norm": layer_norm,
    **dict.fromkeys(_BATCH_NORMS, batch_norm),
    "index_put": _index_put,
    "_index_put_impl": _index_put,
}
