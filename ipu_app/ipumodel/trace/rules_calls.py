"""The rules of the trace at the level of torch functions and tensor methods, above ATen's composites."""

from __future__ import annotations

from typing import Any, Callable, Dict, Optional, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from .._errors import py_error
from . import device_names, rules_indexing, rules_reading, type_rules
from .handlers import LOWERED_WHOLE
from .losses import LOSS_FUNCTIONS
from .tracer import Tracer

Args = Tuple[Any, ...]
Kwargs = Dict[str, Any]
_CROSS_ENTROPY_ARGUMENTS = (
    "input target weight size_average ignore_index reduce reduction label_smoothing".split()
)
_CONVOLUTIONS = {"conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"}
_HOOKS = {"register_hook", "retain_grad", "backward", "register_post_accumulate_grad_hook"}


class CallMode(TorchFunctionMode):
    """Sees every torch function before it is decomposed."""

    def __init__(self, tracer: Tracer) -> None:
        super().__init__()
        self._tracer = tracer

    def __torch_function__(
        self, func: Any, types: Any, args: Args = (), kwargs: Optional[Kwargs] = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if self._tracer.is_paused:
            return func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        if name == "__get__":
            return _attribute(self._tracer, func, args)
        args, kwargs = device_names.translated(name, tuple(args), kwargs)
        rule = _RULES.get(name)
        if name in LOWERED_WHOLE:
            with self._tracer.in_handler():
                return (rule or _as_it_is)(self._tracer, func, args, kwargs)
        if rule is not None:
            return rule(self._tracer, func, args, kwargs)
        return func(*args, **kwargs)


def _as_it_is(tracer: Tracer, func: Any, args: Args, kwargs: Kwargs) -> Any:
    return func(*args, **kwargs)


def _attribute(tracer: Tracer, func: Any, args: Args) -> Any:
    """A tensor on the device says that it is there."""
    name = getattr(getattr(func, "__self__", None), "__name__", "")
    if name in device_names.ATTRIBUTES and tracer.is_traced(args[0]):
        return device_names.ATTRIBUTES[name]
    return func(*args)


def _to_ipu(tracer: Tracer, func: Any, args: Args, kwargs: Kwargs) -> Any:
    return args[0] if tracer.is_traced(args[0]) else tracer.constant(args[0])


def _hook(tracer: Tracer, func: Any, args: Args, kwargs: Kwargs) -> Any:
    if func.__name__ == "backward":
        raise py_error(
            "backward() cannot be called on an IPU tensor: the executor differentiates the marked loss."
        )
    tracer.warn(
        f"{func.__name__} in '{tracer.paths.current}' has no effect: gradients never reach Python on the IPU"
    )
    return func(*args, **kwargs)


def _loss(tracer: Tracer, func: Any, args: Args, kwargs: Kwargs) -> Any:
    result = func(*args, **kwargs)
    number = tracer.number_of(result) if isinstance(result, Tensor) else None
    if number is not None:
        tracer.losses.mark(number, func.__name__, tracer.paths.current, explicit=False)
    return result


def _cross_entropy(tracer: Tracer, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """With label smoothing: the nll, which marks a loss, and arithmetic after it. Its mean selects by a mask,
    which has no fixed shape.
    """
    given = dict(zip(_CROSS_ENTROPY_ARGUMENTS, args), **kwargs)
    smoothing = given.get("label_smoothing", 0.0)
    logits, target = given["input"], given["target"]
    if not tracer.is_traced(logits) or not smoothing or logits.shape == target.shape:
        return func(*args, **kwargs)
    ignored, reduction = given.get("ignore_index", -100), given.get("reduction", "mean")
    if reduction == "mean":
        raise rules_indexing.masked_shape(
            tracer, "masked_select in cross_entropy with label_smoothing; write the smoothing out"
        )
    log_p = F.log_softmax(logits, 1)
    nll = F.nll_loss(log_p, target, given.get("weight"), ignore_index=ignored, reduction=reduction)
    smooth = (-log_p.sum(1)).masked_fill(target == ignored, 0.0)
    smooth = smooth.sum() if reduction == "sum" else smooth
    return nll * (1.0 - smoothing) + smooth * (smoothing / logits.shape[1])


def _convolution(tracer: Tracer, func: Any, args: Args, kwargs: Kwargs) -> Any:
    values = list(args)
    source = values[0] if values else kwargs.get("input")
    if not tracer.is_traced(source):
        return func(*args, **kwargs)
    if func.__name__ == "conv2d" and not isinstance(_argument(args, kwargs, 4, "padding"), str):
        type_rules.check_conv2d(tracer, source, _argument(args, kwargs, 2, "bias"))
    for position in range(1, min(len(values), 3)):
        values[position] = _cast(values[position], source.dtype)
    for key in ("weight", "bias"):
        if key in kwargs:
            kwargs[key] = _cast(kwargs[key], source.dtype)
    return func(*values, **kwargs)


def _argument(args: Args, kwargs: Kwargs, position: int, name: str) -> Any:
    return args[position] if len(args) > position else kwargs.get(name)


def _cast(tensor: Any, dtype: torch.dtype) -> Any:
    return tensor.to(dtype) if isinstance(tensor, Tensor) and tensor.dtype != dtype else tensor


def _linear(tracer: Tracer, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """Operands of different types, by the way that torch 2.0.1 takes on PopTorch's tensors: rows with a bias
    are an addmm, which wants one type; all else is a product of the input's type and a bias added in place.
    A Linear that is the whole model counts among the latter: published examples of PopTorch give it the
    input's type, and no addmm of a larger model hides behind it.
    """
    source, weight, bias = (
        _argument(args, kwargs, i, key) for i, key in enumerate(("input", "weight", "bias"))
    )
    if not tracer.is_traced(source) or len({t.dtype for t in (source, weight, bias) if t is not None}) == 1:
        return func(*args, **kwargs)
    if bias is not None and source.dim() in (2, 3) and not isinstance(tracer.model, nn.Linear):
        type_rules.check_addmm(tracer, (bias, source, weight))
    product = func(source, _cast(weight, source.dtype))
    return product if bias is None else product.add_(bias)


def _prelu(tracer: Tracer, func: Any, args: Args, kwargs: Kwargs) -> Any:
    if len(args) > 1 and tracer.is_traced(args[0]):
        type_rules.check_prelu(tracer, args[0], args[1])
    return func(*args, **kwargs)


def _power(tracer: Tracer, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """A number to the power of a tensor stays a power: newer versions of torch make exp2 of a base of 2."""
    base, exponent = args[:2] if len(args) > 1 else (None, None)
    if func.__name__ == "__rpow__":
        base, exponent = exponent, base
    if tracer.is_traced(exponent) and not isinstance(base, Tensor):
        return torch.ops.aten.pow.Scalar(base, exponent)
    return func(*args, **kwargs)


def _into_out(tracer: Tracer, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """A reduction into a tensor of another type works in that type."""
    target = kwargs.get("out")
    if tracer.is_traced(target) and kwargs.get("dtype") is None:
        kwargs = {**kwargs, "dtype": target.dtype}
    return func(*args, **kwargs)


def _constant(tracer: Tracer, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """torch.tensor and its like: values are made on the host, then compiled in if a device is named."""
    device = kwargs.pop("device", None)
    source = args[0] if args and isinstance(args[0], Tensor) else None
    if tracer.is_traced(source) and func.__name__ != "new_tensor":
        return func(*args, **kwargs) if device is None else func(*args, device=device, **kwargs)
    if func.__name__ == "new_tensor":
        device = source.device if device is None and source is not None else device
        dtype = kwargs.pop("dtype", None) or (source.dtype if source is not None else None)
        return _constant(tracer, torch.as_tensor, args[1:], {"device": device, "dtype": dtype})
    with tracer.paused():
        host = func(*args, **kwargs)
    if device is None or torch.device(device).type != "meta":
        return host
    return tracer.constant(host).requires_grad_(host.requires_grad)


def _pool_with_indices(tracer: Tracer, func: Any, args: Args, kwargs: Kwargs) -> Any:
    if args and tracer.is_traced(args[0]):
        raise py_error(
            f"aten::{func.__name__} in '{tracer.paths.current}': the indices of a maximum pooling are not "
            "available on the IPU, the lowered operation has fewer outputs. Leave return_indices out."
        )
    return func(*args, **kwargs)


def _bincount(tracer: Tracer, func: Any, args: Args, kwargs: Kwargs) -> Any:
    values = _argument(args, kwargs, 0, "input")
    if not tracer.is_traced(values):
        return func(*args, **kwargs)
    weights, length = _argument(args, kwargs, 1, "weights"), _argument(args, kwargs, 2, "minlength") or 0
    if length <= 0:
        raise py_error(
            "Bincount `minlength` must be specified and must be a constant. On the IPU MK2 platform the "
            f"minimum length is also the maximum length (in '{tracer.paths.current}')"
        )
    if weights is None:
        weights = torch.ones_like(values, dtype=torch.int32, device=values.device)
    counts = torch.zeros(length, dtype=weights.dtype, device=values.device)
    return counts.scatter_add(0, values, weights)


_RULES: Dict[str, Callable[[Tracer, Any, Args, Kwargs], Any]] = {
    **rules_reading.RULES,
    **rules_indexing.RULES,
    **dict.fromkeys(_HOOKS, _hook),
    **dict.fromkeys(LOSS_FUNCTIONS, _loss),
    **dict.fromkeys(_CONVOLUTIONS, _convolution),
    **dict.fromkeys(("pow", "__rpow__", "__pow__"), _power),
    **dict.fromkeys((f"max_pool{n}d_with_indices" for n in (1, 2, 3)), _pool_with_indices),
    **dict.fromkeys(("cumsum", "cumprod", "sum", "prod"), _into_out),
    "ipu": _to_ipu,
    "linear": _linear,
    "prelu": _prelu,
    "bincount": _bincount,
    "cross_entropy": _cross_entropy,
    "tensor": _constant,
    "as_tensor": _constant,
    "new_tensor": _constant,
}
