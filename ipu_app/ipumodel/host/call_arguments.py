"""The arguments of an executor call: flattened, narrowed to device types, compared with those compiled
for.
"""

from __future__ import annotations

import inspect
from typing import Any, Dict, List, Tuple

import torch
from torch import Tensor, nn

from .._errors import py_error
from .._logging import logger
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
}
_NARROWED = {torch.int64: torch.int32, torch.float64: torch.float32}


class CallArguments:
    """Arguments bound to a model's forward; tensors in the order in which PopTorch streams them.

    ``args`` are those of the forward's named parameters in their order, however they were given, defaults
    included, and those of ``*args``; ``kwargs`` are what comes after that, and those of ``**kwargs``.
    """

    def __init__(self, model: nn.Module, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> None:
        self.names: List[str] = []
        self.args, self.kwargs = self._bind(model, args, kwargs)
        self.tensors: List[Tensor] = tensors_in((self.args, self.kwargs))

    def _bind(
        self, model: nn.Module, args: Tuple[Any, ...], kwargs: Dict[str, Any]
    ) -> Tuple[Tuple[Any, ...], Dict[str, Any]]:
        """Missing arguments are an Error, unexpected or surplus ones an AssertionError."""
        signature = inspect.signature(model.forward)
        _check_count(signature, args, kwargs)
        given, named, rest = [], {}, list(args)
        after_variadic = False
        for name, parameter in signature.parameters.items():
            if parameter.kind == parameter.VAR_KEYWORD:
                named.update({key: kwargs[key] for key in kwargs if key not in signature.parameters})
            elif parameter.kind == parameter.VAR_POSITIONAL:
                self.names += [f"*{name}[{i}]" for i in range(len(rest))]
                given, rest, after_variadic = given + rest, [], True
            elif after_variadic or parameter.kind == parameter.KEYWORD_ONLY:
                named[name] = _value_of(name, parameter, kwargs)
            else:
                assert not (rest and name in kwargs), f"Parameter {name} was passed more than once"
                given.append(rest.pop(0) if rest else _value_of(name, parameter, kwargs))
                self.names.append(name)
        return tuple(given), named

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
        twin.tensors, twin.names = [], self.names
        return twin

    def on_device(self) -> List[Tensor]:
        """The tensors with device types, contiguous and detached; float16 values in float32 storage."""
        return [_to_device(tensor) for tensor in self.tensors]

    def take_back(self, positions: List[int], values: List[Tensor]) -> None:
        """Give the host's tensors the values that the forward wrote into its inputs."""
        for position, value in zip(positions, values):
            target = self.tensors[position]
            if target.shape == value.shape:
                target.data.copy_(value)

    def check_types(self) -> None:
        """Error for tensors the device cannot take; a warning for those it changes."""
        for position, tensor in enumerate(self.tensors):
            if tensor.dtype not in _SUPPORTED:
                raise py_error(f"Unsupported input type {tensor.dtype}: convert it before the call")
            if tensor.requires_grad:
                logger.warning(
                    "Input tensor has requires_grad=True set (input %d). This tensor will be detached: its "
                    "gradient is not computed.",
                    position,
                )
        if not all(tensor.is_contiguous() for tensor in self.tensors):
            logger.warning(
                "At least one input tensor is not contiguous: non-contiguous tensors will be converted."
            )

    def check_same(self, first: "CallArguments") -> None:
        """Error unless structure, types, shapes and constants are those of the first call; takes up the
        order of its dictionaries.
        """
        if len(self.args) != len(first.args):
            raise py_error(
                f"Number of positional arguments mismatch: expected {len(first.args)} arguments but got "
                f"{len(self.args)}." + _END
            )
        for name, mine, other in zip(first.names, self.args, first.args):
            _compare(name, mine, other)
        _compare_dicts("named arguments", self.kwargs, first.kwargs, are_named=True)
        ordered = _in_order_of((self.args, self.kwargs), (first.args, first.kwargs))
        self.tensors = tensors_in(ordered)


_END = (
    " This error occurred because the inputs passed at runtime don't match the inputs used to compile the "
    "model. To recompile it for new inputs make a new wrapper, or call destroy() on this one."
)


def _check_count(signature: inspect.Signature, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> None:
    names, kinds = list(signature.parameters), {p.kind for p in signature.parameters.values()}
    if not kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}:
        assert len(args) + len(kwargs) <= len(names), (
            f"Too many arguments provided: expected {names} ({len(names)}) but got {len(args) + len(kwargs)}"
        )
        for key in kwargs:
            assert key in names, f"{key} is not a valid parameter. Allowed values are {names}"


def _value_of(name: str, parameter: inspect.Parameter, kwargs: Dict[str, Any]) -> Any:
    if name in kwargs:
        return kwargs[name]
    if parameter.default is parameter.empty:
        raise py_error(f"Mandatory parameter {name} missing")
    return parameter.default


def _in_order_of(mine: Any, first: Any) -> Any:
    """The same structure with the keys of its dictionaries in the order of another one's."""
    if isinstance(mine, dict):
        return {key: _in_order_of(mine[key], first[key]) for key in first}
    if isinstance(mine, (list, tuple)):
        return [_in_order_of(item, other) for item, other in zip(mine, first)]
    return mine


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
    return py_error(f"{what} mismatch for {name}: expected {expected} but got {got}." + _END)


def _compare(name: str, mine: Any, first: Any) -> None:
    if type(mine) is not type(first):
        raise _mismatch("Type", name, type(first), type(mine))
    if parser_of(first) is not None:
        _compare_sequences(name, tensors_in(mine), tensors_in(first))
    elif isinstance(first, Tensor):
        _compare_tensors(name, mine, first)
    elif isinstance(first, (list, tuple)):
        _compare_sequences(name, mine, first)
    elif isinstance(first, dict):
        _compare_dicts(name, mine, first)
    elif mine != first:
        raise _mismatch("Value", name, first, mine)


def _compare_tensors(name: str, mine: Tensor, first: Tensor) -> None:
    if mine.dtype != first.dtype:
        raise _mismatch("Data type", name, first.dtype, mine.dtype)
    if mine.shape != first.shape:
        raise _mismatch("Shape", name, first.shape, mine.shape)


def _compare_sequences(name: str, mine: Any, first: Any) -> None:
    if len(mine) != len(first):
        raise py_error(
            f"Length mismatch for {name}: expected {len(first)} elements but got {len(mine)}." + _END
        )
    for position, (item, other) in enumerate(zip(mine, first)):
        _compare(f"{name}[{position}]", item, other)


def _compare_dicts(
    name: str, mine: Dict[Any, Any], first: Dict[Any, Any], *, are_named: bool = False
) -> None:
    extra, missing = [key for key in mine if key not in first], [key for key in first if key not in mine]
    if extra or missing:
        details = [f"Unexpected arguments: {', '.join(sorted(map(str, extra)))}"] if extra else []
        details += [f"Missing arguments: {', '.join(sorted(map(str, missing)))}"] if missing else []
        raise py_error(f"Keys mismatch for {name}: {'. '.join(details)}." + _END)
    for key, other in first.items():
        _compare(str(key) if are_named else f"{name}[{key}]", mine[key], other)
