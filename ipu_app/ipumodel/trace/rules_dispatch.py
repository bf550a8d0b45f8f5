"""The rules of the trace at the level of ATen operations: refused, changed, or recorded as they are."""

from __future__ import annotations

from typing import Any, Callable, Dict, List

import torch
from torch import Tensor

from .._errors import cpp_error, py_error
from ..strictness import is_strict
from .graph import leaves, map_structure, op_name, tensors_in, written_tensors
from .handlers import has_handler
from .recording import CAST_TO_INPUT, Args, Kwargs, record
from .rules_indexing import data_dependent, is_mask, masked_shape
from .rules_norms import batch_norm, group_norm, layer_norm
from .rules_ops import DATA_DEPENDENT_OPS, base_name
from .rules_reading import unreadable
from .tracer import Tracer

_READS_VALUES = ("_local_scalar_dense", "item", "is_nonzero", "equal")


def dispatch(tracer: Tracer, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """Handle one ATen operation met by the trace."""
    name = op_name(func)
    if tracer.is_paused or not _on_device(tracer, args, kwargs):
        return func(*args, **kwargs)
    if _leaves_device(kwargs):
        raise py_error(
            f"Illegal move to CPU: aten::{name} in '{tracer.paths.current}' copies an IPU tensor to the "
            "host, which is eager-only. Return it as an output of the model instead."
        )
    if name == "_to_copy" and not tracer.is_traced(args[0]):
        return tracer.constant(args[0].to(kwargs.get("dtype") or args[0].dtype))
    _check_readable(tracer, name, args)
    if not has_handler(base_name(name)) or base_name(name) == "triu":
        if _are_constant(tracer, args, kwargs):
            return _evaluated(tracer, func, args, kwargs)
        if not tracer.is_in_handler:
            tracer.refuse_later(func)
    rule = _RULES.get(base_name(name), record)
    return rule(tracer, func, args, kwargs)


def _on_device(tracer: Tracer, args: Args, kwargs: Kwargs) -> bool:
    device = kwargs.get("device")
    if device is not None and torch.device(device).type == "meta":
        return True
    return any(tracer.is_traced(item) for item in leaves((args, kwargs)))


def _leaves_device(kwargs: Kwargs) -> bool:
    device = kwargs.get("device")
    return device is not None and torch.device(device).type != "meta"


def _check_readable(tracer: Tracer, name: str, args: Args) -> None:
    if name in _READS_VALUES:
        raise unreadable(tracer, "item(), float(), int(), bool() or `if tensor`")
    if base_name(name) in DATA_DEPENDENT_OPS:
        raise data_dependent(tracer, name)
    if base_name(name) == "index" and _has_mask(args):
        raise masked_shape(tracer, "indexing with a boolean mask")


def _has_mask(args: Args) -> bool:
    indices = args[1] if len(args) > 1 and isinstance(args[1], (list, tuple)) else ()
    return any(is_mask(item) for item in indices)


# ---- expressions of constants


def _are_constant(tracer: Tracer, args: Args, kwargs: Kwargs) -> bool:
    """Whether an operation without a handler has operands that are known while compiling."""
    tensors = tensors_in((args, kwargs))
    return all(tracer.known.get(tracer.number_of(tensor)) is not None for tensor in tensors)


def _evaluated(tracer: Tracer, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """The result of an operation on constants as constants, worked out by torch on the host."""

    def ref(item: Any) -> Any:
        return tracer.ref(item, op_name(func)) if isinstance(item, Tensor) else item

    written = written_tensors(func, args)
    with tracer.paused():
        result = tracer.known.evaluate(func, map_structure(args, ref), map_structure(kwargs, ref))
        result = map_structure(result, lambda item: item.clone() if isinstance(item, Tensor) else item)
    made = map_structure(result, lambda item: tracer.constant(item) if isinstance(item, Tensor) else item)
    if written:
        record(tracer, torch.ops.aten.copy_.default, (written[0], made), {})
        return written[0]
    return made


# ---- operations with rules of their own


def _spread(tracer: Tracer, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """var and std know biased and unbiased only: any other correction is read as 1. Over all dimensions
    PopTorch's own tests and its front end disagree on whether they are taken.
    """
    if is_strict() and not (len(args) > 1 and args[1]):
        raise py_error(
            f"aten::{op_name(func)} in '{tracer.paths.current}' over all dimensions: PopTorch's front end "
            "refuses it. Flatten first and name the dimension, x.flatten().var(0)."
        )
    correction = kwargs.get("correction")
    if correction not in (None, 0, 1):
        tracer.warn(
            f"aten::{op_name(func)} in '{tracer.paths.current}': correction={correction} is read as 1 on the "
            "IPU. Use two mean calls for another one."
        )
        kwargs = {**kwargs, "correction": 1}
    return record(tracer, func, args, kwargs)


def _var_mean(tracer: Tracer, func: Any, args: Args, kwargs: Kwargs) -> Any:
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


def _convolution(tracer: Tracer, func: Any, args: Args, kwargs: Kwargs) -> Any:
    dilation, is_transposed = args[5], args[6]
    if is_strict() and is_transposed and any(step != 1 for step in dilation):
        raise py_error(
            f"aten::{op_name(func)} in '{tracer.paths.current}': dilation of a transposed convolution is not "
            f"supported, got {list(dilation)} (untested below PopTorch, which takes it). Use dilation=1, or "
            "upsample and a plain convolution."
        )
    return record(tracer, func, args, kwargs)


def _adaptive_pool(tracer: Tracer, func: Any, args: Args, kwargs: Kwargs) -> Any:
    sizes = [args[1]] if isinstance(args[1], int) else list(args[1])
    spatial = list(args[0].shape[-len(sizes) :])
    if any(size % out for size, out in zip(spatial, sizes)):
        raise py_error(
            f"aten::{op_name(func)} in '{tracer.paths.current}': input size {spatial} must be divisible by "
            f"the output size {sizes}. For global pooling use x.mean((2, 3)) or output size 1."
        )
    return record(tracer, func, args, kwargs)


def _nll(tracer: Tracer, func: Any, args: Args, kwargs: Kwargs) -> Any:
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


def _topk(tracer: Tracer, func: Any, args: Args, kwargs: Kwargs) -> Any:
    is_sorted = args[4] if len(args) > 4 else kwargs.get("sorted", True)
    if not is_sorted:
        raise py_error(f"aten::topk in '{tracer.paths.current}': only sorted=True is supported.")
    return record(tracer, func, args, kwargs)


def _index_put(tracer: Tracer, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """A mask alone is a choice of fixed shape between the tensor and the values."""
    if not _has_mask(args):
        return record(tracer, func, args, kwargs)
    if len(args[1]) != 1:
        raise masked_shape(tracer, "indexing with a boolean mask")
    target, mask, values = args[0], args[1][0], args[2]
    missing = target.dim() - mask.dim()
    mask = record(tracer, torch.ops.aten._to_copy.default, (mask,), {"dtype": torch.bool})
    mask = record(tracer, torch.ops.aten.view.default, (mask, list(mask.shape) + [1] * missing), {})
    chosen = record(tracer, torch.ops.aten.where.self, (mask, values, target), {})
    if not op_name(func).endswith("_"):
        return chosen
    return record(tracer, torch.ops.aten.copy_.default, (target, chosen), {})


def _average_pool(tracer: Tracer, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """The divisor is the window's size, whatever is asked for."""
    if len(args) > 6 and args[6] is not None:
        tracer.warn(
            f"aten::{op_name(func)} in '{tracer.paths.current}': divisor_override={args[6]} is ignored on "
            "the IPU; multiply the result instead"
        )
        args = args[:6]
    return record(tracer, func, args, kwargs)


def _edge_pad(tracer: Tracer, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """PopART has a gradient for zero padding only."""
    if tracer.training and torch.is_grad_enabled() and args[0].requires_grad:
        raise cpp_error(
            f"aten::{op_name(func)} in '{tracer.paths.current}': PopART has no gradient for reflection and "
            "replication padding. Pad with zeros, or pad the inputs on the host.",
        )
    return record(tracer, func, args, kwargs)


def _linear_upsample(tracer: Tracer, func: Any, args: Args, kwargs: Kwargs) -> Any:
    raise py_error(
        f"Unsupported upsample mode aten::{op_name(func)}: currently only 'nearest' is supported (in "
        f"'{tracer.paths.current}')"
    )


_BATCH_NORMS = tuple(name for name in CAST_TO_INPUT if "batch_norm" in name)
_RULES: Dict[str, Callable[[Tracer, Any, Args, Kwargs], Any]] = {
    "avg_pool2d": _average_pool,
    "avg_pool3d": _average_pool,
    **dict.fromkeys(("reflection_pad1d", "reflection_pad2d"), _edge_pad),
    **dict.fromkeys(("replication_pad1d", "replication_pad2d", "replication_pad3d"), _edge_pad),
    **dict.fromkeys(("upsample_linear1d", "upsample_trilinear3d"), _linear_upsample),
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
