"""The rules of the trace at the level of torch functions and tensor methods, above ATen's composites."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict, Optional, Tuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from .._errors import py_error
from .losses import LOSS_FUNCTIONS
from .rules_dispatch import data_dependent

if TYPE_CHECKING:
    from .tracer import Tracer

_CROSS_ENTROPY_ARGUMENTS = (
    "input target weight size_average ignore_index reduce reduction label_smoothing".split()
)
_host_tensor = torch.tensor  # as it is outside of a trace, which replaces the name
_READERS = {
    "item",
    "tolist",
    "numpy",
    "cpu",
    "__bool__",
    "__float__",
    "__int__",
    "__index__",
    "__complex__",
    "__array__",
}
_CONVOLUTIONS = {"conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"}
_HOOKS = {"register_hook", "retain_grad", "backward", "register_post_accumulate_grad_hook"}


class CallMode(TorchFunctionMode):
    """Sees every torch function before it is decomposed."""

    def __init__(self, tracer: "Tracer") -> None:
        super().__init__()
        self._tracer = tracer

    def __torch_function__(
        self, func: Any, types: Any, args: Tuple[Any, ...] = (), kwargs: Optional[Dict[str, Any]] = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if self._tracer.is_paused:
            return func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        rule = _RULES.get(name)
        if rule is not None:
            return rule(self._tracer, func, tuple(args), kwargs)
        return func(*args, **kwargs)


def _read(tracer: "Tracer", func: Any, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Any:
    if not (args and tracer.is_traced(args[0])):
        return func(*args, **kwargs)
    name = func.__name__
    raise py_error(
        f"aten::item is only supported in eager mode, it is eager-only: {name} in '{tracer.paths.current}' "
        "would read the value of an IPU tensor while the model is compiled. Use torch.where or masks for "
        "decisions, and return what you want to see as an output."
    )


def _hook(tracer: "Tracer", func: Any, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Any:
    if func.__name__ == "backward":
        raise py_error(
            "backward() cannot be called on an IPU tensor: the executor differentiates the marked loss."
        )
    tracer.warn(
        f"{func.__name__} in '{tracer.paths.current}' has no effect: gradients never reach Python on the IPU"
    )
    return func(*args, **kwargs)


def _loss(tracer: "Tracer", func: Any, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Any:
    result = func(*args, **kwargs)
    number = tracer.number_of(result) if isinstance(result, Tensor) else None
    if number is not None:
        tracer.losses.mark(number, func.__name__, tracer.paths.current, explicit=False)
    return result


def _cross_entropy(tracer: "Tracer", func: Any, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Any:
    """With label smoothing: the nll, which marks a loss, and arithmetic after it, on every torch version."""
    given = dict(zip(_CROSS_ENTROPY_ARGUMENTS, args), **kwargs)
    smoothing = given.get("label_smoothing", 0.0)
    logits, target = given["input"], given["target"]
    if not tracer.is_traced(logits) or not smoothing or logits.shape == target.shape:
        return func(*args, **kwargs)
    ignored, reduction = given.get("ignore_index", -100), given.get("reduction", "mean")
    log_p = F.log_softmax(logits, 1)
    nll = F.nll_loss(log_p, target, given.get("weight"), ignore_index=ignored, reduction=reduction)
    is_ignored = target == ignored
    smooth = (-log_p.sum(1)).masked_fill(is_ignored, 0.0)
    if reduction == "mean":
        smooth = smooth.sum() / (target.numel() - is_ignored.sum())
    elif reduction == "sum":
        smooth = smooth.sum()
    return nll * (1.0 - smoothing) + smooth * (smoothing / logits.shape[1])


def _convolution(tracer: "Tracer", func: Any, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Any:
    values = list(args)
    source = values[0] if values else kwargs.get("input")
    if not tracer.is_traced(source):
        return func(*args, **kwargs)
    for position in range(1, min(len(values), 3)):
        values[position] = _cast(values[position], source.dtype)
    for key in ("weight", "bias"):
        if key in kwargs:
            kwargs[key] = _cast(kwargs[key], source.dtype)
    return func(*values, **kwargs)


def _cast(tensor: Any, dtype: torch.dtype) -> Any:
    return tensor.to(dtype) if isinstance(tensor, Tensor) and tensor.dtype != dtype else tensor


def _one_hot(tracer: "Tracer", func: Any, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Any:
    labels = args[0] if args else kwargs["tensor"]
    if not tracer.is_traced(labels):
        return func(*args, **kwargs)
    num_classes = args[1] if len(args) > 1 else kwargs.get("num_classes", -1)
    if num_classes < 0:
        raise py_error(
            f"aten::one_hot in '{tracer.paths.current}': num_classes must be given, it cannot be found from "
            "the values."
        )
    classes = torch.arange(num_classes, device=labels.device)
    return (labels.unsqueeze(-1) == classes).to(torch.int32)


def _take_along_dim(tracer: "Tracer", func: Any, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Any:
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


def _spread(tensor: Tensor, shape: Any, dim: int) -> Tensor:
    sizes = list(shape)
    sizes[dim] = tensor.shape[dim]
    return tensor.expand(sizes)


def _constant(tracer: "Tracer", func: Any, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Any:
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


def _indexing(tracer: "Tracer", func: Any, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Any:
    """Lists of numbers become constants (torch would make host tensors of them); masks are refused."""
    if not args or not tracer.is_traced(args[0]):
        return func(*args, **kwargs)
    index = args[1] if len(args) > 1 else None
    parts = list(index) if isinstance(index, tuple) else [index]
    if any(_is_mask(part) for part in (index if func.__name__.startswith("index_put") else parts)):
        raise data_dependent(tracer, "nonzero", "indexing with a boolean mask")
    parts = [tracer.constant(_host_tensor(part)) if _is_number_list(part) else part for part in parts]
    new_index = tuple(parts) if isinstance(index, tuple) else parts[0]
    return func(args[0], new_index, *args[2:], **kwargs)


def _is_mask(part: Any) -> bool:
    return isinstance(part, Tensor) and part.dtype in (torch.bool, torch.uint8)


def _is_number_list(part: Any) -> bool:
    return isinstance(part, list) and bool(part) and all(type(item) is int for item in part)


_RULES: Dict[str, Callable[["Tracer", Any, Tuple[Any, ...], Dict[str, Any]], Any]] = {
    **dict.fromkeys(_READERS, _read),
    **dict.fromkeys(_HOOKS, _hook),
    **dict.fromkeys(LOSS_FUNCTIONS, _loss),
    **dict.fromkeys(_CONVOLUTIONS, _convolution),
    **dict.fromkeys(("__getitem__", "__setitem__", "index_put", "index_put_"), _indexing),
    "cross_entropy": _cross_entropy,
    "one_hot": _one_hot,
    "take_along_dim": _take_along_dim,
    "tensor": _constant,
    "as_tensor": _constant,
    "new_tensor": _constant,
}
