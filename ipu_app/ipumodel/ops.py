"""PopTorch's operations: identities that mark something for the compiler, and a few computations of its own.

On the host they compute the same values, so a model that uses them runs without an IPU.
"""

from __future__ import annotations

from typing import Any, Callable, List, Optional, Sequence, Tuple

import torch
from torch import Tensor

from ._errors import Error, py_error
from .blocks import BeginBlock, Block, BlockFunction, LegacyBeginBlockFn, removeBlocks
from .enums import MatMulSerializationMode, OverlapMode
from .multi_conv import MultiConv
from .printed_tensors import ipu_print_tensor
from .trace import context
from .trace.context import isRunningOnIpu
from .trace.graph import tensors_in

__all__ = [
    "Attribute",
    "BeginBlock",
    "Block",
    "BlockFunction",
    "CPU",
    "LegacyBeginBlockFn",
    "MultiConv",
    "NameScope",
    "cond",
    "createPoptorchError",
    "ctc_beam_search_decoder",
    "custom_op",
    "dynamic_slice",
    "dynamic_update",
    "for_loop",
    "fps",
    "identity_loss",
    "ipu_print_tensor",
    "isRunningOnIpu",
    "nearest",
    "nop",
    "recomputationCheckpoint",
    "removeBlocks",
    "serializedMatMul",
    "set_available_memory",
    "set_overlap_for_input",
    "set_overlap_for_output",
]


def createPoptorchError(msg: str) -> Error:
    """Make a poptorch.Error with that message."""
    return py_error(msg)


def identity_loss(x: Tensor, reduction: str) -> Tensor:
    """Mark the final loss: `sum`, `mean` or `none` of x; everything else is an AssertionError."""
    assert reduction in ("sum", "mean", "none"), (
        f"reduction={reduction!r}: choose one of 'sum', 'mean', 'none'"
    )
    result = {"sum": torch.sum, "mean": torch.mean, "none": _same}[reduction](x)
    tracer = context.current()
    if tracer is not None and tracer.is_traced(x):
        number = tracer.number_of(result)
        if number is None:
            raise py_error("identity_loss takes an IPU tensor: a result of the model's operations")
        tracer.losses.mark(number, "identity_loss", tracer.paths.current, explicit=True)
    return result


def _same(x: Tensor) -> Tensor:
    return x.view_as(x)


def _identity(tensor: Tensor, name: str) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise ValueError(f"poptorch.{name} takes tensors, got {type(tensor).__name__}")
    return tensor.view_as(tensor)


def recomputationCheckpoint(*tensors: Any) -> Any:
    """Keep these tensors for the backward pass instead of recomputing them: an identity.

    One tensor in gives one out, several give a tuple, a list or tuple gives the same type; a non-tensor is a
    ValueError.
    """
    if len(tensors) == 1:
        first = tensors[0]
        if isinstance(first, (list, tuple)) and len(first) > 1:
            return type(first)(_identity(tensor, "recomputationCheckpoint") for tensor in first)
        if isinstance(first, (list, tuple)):
            return recomputationCheckpoint(*first[0])
        return _identity(first, "recomputationCheckpoint")
    return tuple(_identity(tensor, "recomputationCheckpoint") for tensor in tensors)


def set_available_memory(tensor: Tensor, available_memory_proportion: float) -> Tensor:
    """Limit the tile memory of the convolution or product that made `tensor`: a share in (0, 1]."""
    if not isinstance(tensor, Tensor):
        raise ValueError(f"poptorch.set_available_memory takes a tensor, got {type(tensor).__name__}")
    if not 0 < available_memory_proportion <= 1:
        raise ValueError(f"available_memory_proportion={available_memory_proportion}: more than 0, at most 1")
    tracer = context.current()
    if tracer is not None:
        tracer.memory_proportions.append((tracer.paths.current, float(available_memory_proportion)))
    return _identity(tensor, "set_available_memory")


def nop(tensor: Tensor) -> Tensor:
    """A barrier for the compiler: an identity."""
    return _identity(tensor, "nop")


def _overlap(tensors: Any, mode: OverlapMode, name: str) -> Any:
    assert isinstance(mode, OverlapMode), f"poptorch.{name}: mode={mode!r}: a poptorch.OverlapMode"
    tracer = context.current()
    if tracer is not None and mode != OverlapMode.NoOverlap:
        tracer.uses_overlapped_io = True
        tracer.overlapped[name] += [tracer.number_of(tensor) for tensor in tensors_in(tensors)]
    return tensors


def set_overlap_for_input(input_tensors: Any, mode: OverlapMode) -> Any:
    """Overlap the transfer of these inputs with compute (needs IO tiles, refuses pipelines): an identity, for
    inputs of the model only.
    """
    return _overlap(input_tensors, mode, "set_overlap_for_input")


def set_overlap_for_output(output_tensors: Any, mode: OverlapMode) -> Any:
    """Overlap the transfer of these outputs with compute (needs IO tiles, refuses pipelines): an identity,
    for outputs of the model only.
    """
    return _overlap(output_tensors, mode, "set_overlap_for_output")


def serializedMatMul(
    lhs: Tensor, rhs: Tensor, mode: MatMulSerializationMode, factor: int = 0, keep_precision: bool = False
) -> Tensor:
    """A matrix product computed in `factor` parts to save memory; the value is that of torch.matmul."""
    assert isinstance(mode, MatMulSerializationMode), f"mode={mode!r}: a poptorch.MatMulSerializationMode"
    return torch.matmul(lhs, rhs)


def _check_dynamic(tensor: Tensor, dim: int, size: int) -> None:
    """Refuse sizes that no slice of the dimension has."""
    if size == 0:
        raise py_error("The start and end of a slice must be different.")
    if size < 0:
        raise py_error("Taking a slice of a tensor with the end less than the start is not supported.")
    if size > tensor.shape[dim]:
        raise py_error(f"A slice of {size} elements of dimension {dim}, which has {tensor.shape[dim]}.")


def dynamic_slice(tensor: Tensor, dim: int, start: Any, size: int, step: int) -> Tensor:
    """A slice whose start is a tensor: every `step`-th of `size` elements of `dim` from `start`."""
    _check_dynamic(tensor, dim, size)
    if step < 1:
        raise py_error(f"Slicing step must be at least 1: poptorch.dynamic_slice, step={step}")
    index = torch.arange(0, size, step, device=tensor.device) + start
    return tensor.index_select(dim, index)


def dynamic_update(input: Tensor, src: Tensor, dim: int, start: Any, size: int) -> Tensor:
    """A copy of `input` with `size` elements of `dim` from `start` replaced by `src`."""
    if size != src.shape[dim]:
        raise ValueError(f"dynamic_update: size={size} must be that of src, {src.shape[dim]}")
    shape = [1] * input.dim()
    shape[dim] = size
    index = (torch.arange(size, device=input.device) + start).reshape(shape).expand_as(src)
    return input.scatter(dim, index, src)


# ---- control flow and host code: inference only


def _refuse_in_training(name: str) -> None:
    tracer = context.current()
    if tracer is not None and tracer.training:
        raise py_error(
            f"poptorch.{name}() is only supported in inference models, not in training (in "
            f"'{tracer.paths.current}'). Use torch.where, or unroll the loop in Python."
        )


def _refuse_here(name: str) -> None:
    if context.current() is not None:
        raise py_error(
            f"poptorch.{name} is not available in the simulated PopTorch: compute it outside of the model, "
            "or run this model with the SDK."
        )


def for_loop(count: int, body: Callable[..., Any], inputs: List[Tensor]) -> List[Tensor]:
    """Run `body` on its own outputs `count` times (inference only); inputs must be a list (ValueError)."""
    if not isinstance(inputs, list):
        raise ValueError("Object is not list: poptorch.for_loop expects its inputs as a list")
    _refuse_in_training("for_loop")
    values: Any = list(inputs)
    for _ in range(count):
        values = body(*values)
        values = list(values) if isinstance(values, (list, tuple)) else [values]
        if len(values) != len(inputs):
            raise py_error(f"poptorch.for_loop: body returns {len(values)} tensors but takes {len(inputs)}")
    return list(values)


def cond(
    condition: Tensor,
    then_body: Callable[..., Any],
    then_inps: List[Tensor],
    else_body: Callable[..., Any],
    else_inps: List[Tensor],
) -> List[Tensor]:
    """Choose between two computations by a value (inference only); inputs must be lists (ValueError)."""
    if not isinstance(then_inps, list) or not isinstance(else_inps, list):
        raise ValueError("poptorch.cond expects its inputs as lists")
    _refuse_in_training("cond")
    then_values, else_values = _as_list(then_body(*then_inps)), _as_list(else_body(*else_inps))
    if len(then_values) != len(else_values):
        raise py_error("poptorch.cond: both bodies must return the same number of tensors")
    chosen = condition.reshape(()) if condition.numel() == 1 else condition
    return [torch.where(chosen, yes, no) for yes, no in zip(then_values, else_values)]


def _as_list(values: Any) -> List[Tensor]:
    return list(values) if isinstance(values, (list, tuple)) else [values]


class CPU:
    """Host code in the middle of a model (inference only); not available in the simulator's models."""

    def __init__(self, layer_to_call: Callable[..., Any], ID: str) -> None:
        self._layer_to_call, self._id = layer_to_call, ID
        self.inputs: Optional[Tuple[Any, ...]] = None
        self.outputs: Any = None

    def __call__(self, *input: Any, **kwargs: Any) -> Any:  # noqa: D102 - a call is a call
        _refuse_in_training("CPU")
        _refuse_here("CPU")
        return self._layer_to_call(*input, **kwargs)

    def execute(self) -> None:
        """Run the host code on the stored inputs."""
        self.outputs = self._layer_to_call(*(self.inputs or ()))

    def registerPersistentData(self) -> None:
        """Kept for the vendor's interface."""


# ---- annotations without effect on values


class NameScope:
    """Context manager that names the operations inside for profiles."""

    def __init__(self, name: str) -> None:
        assert isinstance(name, str), f"NameScope takes a string, got {type(name).__name__}"
        self._name = name

    def __enter__(self) -> None:
        """No effect on values."""

    def __exit__(self, type: Any, value: Any, traceback: Any) -> None:  # the vendor's name
        """No effect on values."""


class Attribute:
    """Context manager that sets compiler attributes on the operations inside."""

    def __init__(self, **kwargs: Any) -> None:
        self._attributes = kwargs

    def __enter__(self) -> None:
        """No effect on values."""

    def __exit__(self, type: Any, value: Any, traceback: Any) -> None:  # the vendor's name
        """No effect on values."""


# ---- operations that the simulator does not have


def _absent(name: str) -> Error:
    return py_error(
        f"poptorch.{name} is not available in the simulated PopTorch: run this model with the SDK."
    )


def custom_op(
    inputs: Sequence[Tensor],
    name: str,
    domain: str,
    domain_version: int,
    example_outputs: Sequence[Tensor],
    attributes: Optional[dict] = None,  # type: ignore[type-arg]
) -> List[Tensor]:
    """A compiled operation of the user's: refused, there is no device to run it on."""
    raise _absent("custom_op")


def ctc_beam_search_decoder(
    probs: Tensor, lengths: Tensor, blank: int = 0, beam_width: int = 100, top_paths: int = 1
) -> List[Tensor]:
    """CTC decoding: refused."""
    raise _absent("ctc_beam_search_decoder")


def fps(src: Tensor, ptr: List[int], ratio: float = 0.5, random_start: bool = False) -> Tensor:
    """Farthest point sampling: refused."""
    raise _absent("fps")


def nearest(x: Tensor, y: Tensor, batch_x: Any = None, batch_y: Any = None) -> Tensor:
    """Nearest neighbours: refused."""
    raise _absent("nearest")
