"""The arguments of an executor call: flattened, narrowed to device types, compared with those compiled
for.
"""

from __future__ import annotations

import inspect
import warnings
from typing import Any, Callable, Dict, List, Tuple

import torch
from torch import Tensor, nn

from .._errors import py_error
from ..trace.custom_args import parser_of
from ..trace.graph import map_structure, tensors_in

_SUPPORTED = {
    torch.float32,
    torch.float16,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
    torch.int64,
    torch.float64,
    torch.bfloat16,
}
_NARROWED = {torch.int64: torch.int32, torch.float64: torch.float32, torch.bfloat16: torch.float32}


class CallArguments:
    """Arguments bound to a model's forward; tensors in the order in which PopTorch streams them."""

    def __init__(self, model: nn.Module, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> None:
        self._bind(model, args, kwargs)
        self.args, self.kwargs = tuple(args), dict(kwargs)
        self.tensors: List[Tensor] = tensors_in((self.args, self.kwargs))

    @staticmethod
    def _bind(model: nn.Module, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> None:
        """Missing arguments are an Error, unexpected or surplus ones an AssertionError."""
        signature = inspect.signature(model.forward)
        parameters = signature.parameters.values()
        takes_any = any(p.kind == p.VAR_KEYWORD for p in parameters)
        unexpected = [] if takes_any else [key for key in kwargs if key not in signature.parameters]
        assert not unexpected, (
            f"Unexpected arguments {unexpected}: forward takes {list(signature.parameters)}"
        )
        if not any(p.kind == p.VAR_POSITIONAL for p in parameters):
            most = sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
            assert len(args) <= most, f"Too many arguments: {len(args)} given, forward takes {most}"
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise py_error(f"Arguments do not fit the model's forward: {error}") from error

    def narrowed(self, samples: int) -> Tuple[Tuple[Any, ...], Dict[str, Any]]:
        """Shape-only arguments of one micro-batch: dim 0 of every tensor divided by `samples`."""

        def narrow(item: Any) -> Any:
            if not isinstance(item, Tensor):
                return item
            rows = item.shape[0] if item.dim() else 1
            assert rows % samples == 0, (
                f"Invalid batch dimension: in the input {tuple(item.shape)}, the batch dimension ({rows}) "
                "must be a multiple of Options.deviceIterations * Options.replicationFactor / "
                f"inputGroupSize * Options.Training.gradientAccumulation = {samples} because it is used to "
                "calculate the size of the micro-batch"
            )
            if not item.dim():
                return item
            return item[: rows // samples]

        args, kwargs = map_structure((self.args, self.kwargs), narrow)
        return args, kwargs

    def without_data(self) -> "CallArguments":
        """The same structure with shape-only tensors: what later calls are compared with."""
        twin = object.__new__(CallArguments)
        strip = lambda item: _shape_of(item) if isinstance(item, Tensor) else item  # noqa: E731
        twin.args, twin.kwargs = map_structure((self.args, self.kwargs), strip)
        twin.tensors = []
        return twin

    def on_device(self) -> List[Tensor]:
        """The tensors with device types, contiguous and detached; float16 values in float32 storage."""
        return [_to_device(tensor) for tensor in self.tensors]

    def check_types(self) -> None:
        """Error for tensors the device cannot take; a warning for those it changes."""
        for tensor in self.tensors:
            if tensor.dtype not in _SUPPORTED:
                raise py_error(f"Unsupported input type {tensor.dtype}: convert it before the call")
            if not tensor.is_contiguous():
                warnings.warn(
                    "A non-contiguous input was made contiguous; call .contiguous() yourself", stacklevel=4
                )
            if tensor.requires_grad and not isinstance(tensor, nn.Parameter):
                warnings.warn(
                    "An input has requires_grad set: it is detached, its gradient is not computed",
                    stacklevel=4,
                )

    def check_same(self, first: "CallArguments") -> None:
        """Error unless structure, types, shapes and constants are those of the first call."""
        if len(self.args) != len(first.args):
            raise _mismatch("Length", "arguments", len(first.args), len(self.args))
        for position, (mine, other) in enumerate(zip(self.args, first.args)):
            _compare(f"argument {position}", mine, other)
        if list(self.kwargs) != list(first.kwargs):
            raise _mismatch("Keys", "keyword arguments", list(first.kwargs), list(self.kwargs))
        for key, value in self.kwargs.items():
            _compare(key, value, first.kwargs[key])


def _shape_of(tensor: Tensor) -> Tensor:
    shape_only = torch.empty(tuple(tensor.shape), dtype=tensor.dtype, device="meta")
    if type(tensor) is nn.Parameter:
        return nn.Parameter(shape_only, requires_grad=tensor.requires_grad)
    return shape_only.as_subclass(type(tensor)) if type(tensor) is not Tensor else shape_only


def _to_device(tensor: Tensor) -> Tensor:
    dtype = _NARROWED.get(tensor.dtype, tensor.dtype)
    if dtype == torch.float16:
        return tensor.detach().float()
    return tensor.detach().to(dtype).contiguous()


def synthetic(tensors: List[Tensor], mode: int) -> List[Tensor]:
    """What the device makes of inputs: nothing new (mode 0), zeros (1), or normal noise by a fixed seed."""
    if mode == 0:
        return tensors
    generator = torch.Generator().manual_seed(0)
    made = [torch.zeros_like(tensor) for tensor in tensors]
    for tensor in made:
        if mode > 1 and tensor.is_floating_point():
            tensor.normal_(generator=generator)
    return made


def _mismatch(what: str, name: str, expected: Any, got: Any) -> Exception:
    return py_error(
        f"{what} mismatch for {name}: expected {expected} but got {got}. The model was compiled for the "
        "first call's arguments; to change them call destroy() and wrap the model again."
    )


def _compare(name: str, mine: Any, first: Any) -> None:
    if type(mine) is not type(first):
        raise _mismatch("Type", name, type(first), type(mine))
    _COMPARISONS.get(type(mine), _compare_values)(name, mine, first)


def _compare_tensors(name: str, mine: Tensor, first: Tensor) -> None:
    if mine.dtype != first.dtype:
        raise _mismatch("Data type", name, first.dtype, mine.dtype)
    if mine.shape != first.shape:
        raise _mismatch("Shape", name, list(first.shape), list(mine.shape))


def _compare_sequences(name: str, mine: Any, first: Any) -> None:
    if len(mine) != len(first):
        raise _mismatch("Length", name, len(first), len(mine))
    for position, (item, other) in enumerate(zip(mine, first)):
        _compare(f"{name}[{position}]", item, other)


def _compare_dicts(name: str, mine: Dict[Any, Any], first: Dict[Any, Any]) -> None:
    if list(mine) != list(first):
        raise _mismatch("Keys", name, list(first), list(mine))
    for key, item in mine.items():
        _compare(f"{name}[{key!r}]", item, first[key])


def _compare_values(name: str, mine: Any, first: Any) -> None:
    if isinstance(mine, Tensor):
        _compare_tensors(name, mine, first)
    elif parser_of(mine) is not None:
        _compare_sequences(name, tensors_in(mine), tensors_in(first))
    elif mine != first:
        raise _mismatch("Value", name, first, mine)


_COMPARISONS: Dict[type, Callable[[str, Any, Any], None]] = {
    Tensor: _compare_values,
    list: _compare_sequences,
    tuple: _compare_sequences,
    dict: _compare_dicts,
}
