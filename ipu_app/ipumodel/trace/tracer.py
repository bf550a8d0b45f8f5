"""The state of one trace: the graph so far, and what a tensor of the forward is in it."""

from __future__ import annotations

import contextlib
from typing import Any, Dict, Iterator, List, Optional, Tuple

import torch
from torch import Tensor, nn

from .._errors import py_error
from .blocks_state import BlockTracker
from .graph import Graph, Node, Place, Ref, map_structure, op_name, qualified_name, written_tensors
from .handlers import ELEMENTWISE
from .known_values import KnownValues
from .losses import LossBook
from .module_paths import ModulePaths
from .rules_ops import base_name, remedy_for
from .types import device_dtype
from .types import shape_only as make_shape_only

UNKNOWN_TENSOR = "Expected an IPU tensor but got"


@contextlib.contextmanager
def _dispatch_off() -> Iterator[None]:
    """Without this, torch 1.13 cannot make a host tensor while a dispatch mode is on."""
    guard = torch._C._DisableTorchDispatch()
    with guard if hasattr(guard, "__enter__") else contextlib.nullcontext():
        yield
    del guard  # the older guards act from construction to destruction


class Tracer:
    """State of one trace: the graph so far, which tensor is which value, blocks, losses and what was
    refused.
    """

    def __init__(
        self, model: nn.Module, strategy: Any, *, training: bool, has_strided_groups: bool = False
    ) -> None:
        self.has_strided_groups = has_strided_groups
        self.model = model
        self.graph = Graph()
        self.training = training
        self.blocks = BlockTracker(strategy)
        self.losses = LossBook()
        self.paths = ModulePaths(model)
        self.warnings: List[str] = []
        self.unsupported: List[str] = []
        self.uses_overlapped_io = False
        self.memory_proportions: List[Tuple[str, float]] = []
        self.is_paused = False
        self.loss_depth = 0
        self._numbers: Dict[int, int] = {}
        self._alive: List[Tensor] = []
        self.squeezed_means: List[str] = []
        self.known = KnownValues()
        self.is_in_handler = False  # of an operation that PopTorch lowers whole, though torch takes it apart
        self.convolutions_together: Optional[int] = None  # in a MultiConv block so far; None outside of one
        self.overlapped: Dict[str, List[Optional[int]]] = {
            "set_overlap_for_input": [],
            "set_overlap_for_output": [],
        }
        self._before_update: Dict[int, int] = {}

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Work on the host that the trace does not see."""
        before, self.is_paused = self.is_paused, True
        try:
            with _dispatch_off():
                yield
        finally:
            self.is_paused = before

    @contextlib.contextmanager
    def in_handler(self) -> Iterator[None]:
        """Record parts of an operation that has a handler as a whole."""
        before, self.is_in_handler = self.is_in_handler, True
        try:
            yield
        finally:
            self.is_in_handler = before

    # ---- values

    def adopt(self, tensor: Tensor) -> int:
        """Number a tensor as a new value of the graph."""
        number = self.graph.new_value(tensor)
        self._numbers[id(tensor)] = number
        self._alive.append(tensor)
        return number

    def number_of(self, tensor: Tensor) -> Optional[int]:
        """The value number of a tensor, None if the trace does not know it."""
        return self._numbers.get(id(tensor))

    def is_traced(self, value: Any) -> bool:
        """Whether a value is a tensor on the device."""
        return isinstance(value, Tensor) and value.device.type in ("meta", "ipu")

    def constant(self, tensor: Tensor) -> Tensor:
        """Bring a host tensor onto the device as a constant that is compiled in."""
        with self.paused():
            value = tensor.detach().to(device_dtype(tensor.dtype)).clone()
            shape_only = make_shape_only(tuple(value.shape), value.dtype)
        number = self.adopt(shape_only)
        self.graph.constants[number] = value
        self.known.put(number, value.clone())
        return shape_only

    def ref(self, tensor: Tensor, op: str) -> Ref:
        """The graph's name for a tensor argument; an error for tensors that are not on the device."""
        number = self.number_of(tensor)
        if number is not None:
            return Ref(number)
        raise self._host_tensor(tensor, base_name(op))

    def _host_tensor(self, tensor: Tensor, op: str) -> Exception:
        """torch's own exception where it compares devices before PopTorch is asked, else PopTorch's."""
        dtype = short_name(tensor.dtype)
        found = f"tensor(device={tensor.device.type}, shape={list(tensor.shape)}, dtype={dtype})"
        advice = (
            f"in aten::{op} in '{self.paths.current}'. Register it as a buffer of the model, or move it with "
            "`.to(x.device)`, which compiles it in as a constant."
        )
        if op in ELEMENTWISE and tensor.dim() and tensor.device.type != "meta":
            return RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices, ipu:0 and "
                f"{tensor.device.type}! {found} {advice}"
            )
        return py_error(f"{UNKNOWN_TENSOR} {found} {advice}")

    def hold_before_update(self, number: int, copy: int) -> None:
        """What reads a value from now on sees a copy that was taken before: a norm writes its statistics at
        the end of a run.
        """
        self._before_update[number] = copy

    def as_read(self, number: int) -> int:
        """The number that a reader of a value gets."""
        return self._before_update.get(number, number)

    # ---- operations

    def record(self, func: Any, args: Tuple[Any, ...], kwargs: Dict[str, Any], result: Any) -> Any:
        """Write one operation with its results into the graph and return the results with device types."""
        name = op_name(func)
        block, stage, ipu = self.blocks.current(name, self.paths.current)
        if self.convolutions_together is not None and "convolution" in name:
            self.convolutions_together += 1
        place = Place(self.paths.current, block, stage, ipu)
        writes = written_tensors(func, args)

        def to_ref(item: Any) -> Any:
            if not isinstance(item, Tensor):
                return item
            ref = self.ref(item, name)
            is_written = any(item is target for target in writes)
            return ref if is_written else Ref(self.as_read(ref.index))

        node_args, node_kwargs = map_structure(tuple(args), to_ref), map_structure(dict(kwargs), to_ref)
        outputs = result if isinstance(result, (tuple, list)) else (result,)
        numbers = []
        for output in outputs:
            if not isinstance(output, Tensor):
                numbers.append(None)
            elif any(output is target for target in writes):
                numbers.append(self.number_of(output))
            else:
                numbers.append(self.adopt(output))
        is_tuple = isinstance(result, (tuple, list))
        self.graph.nodes.append(
            Node(func, node_args, node_kwargs, tuple(numbers), is_tuple, torch.is_grad_enabled(), place)
        )
        self.losses.propagate(self.graph.nodes[-1])
        with self.paused():
            self.known.follow(self.graph.nodes[-1])
        return result

    def record_identity(self, func: Any, tensor: Tensor) -> Tensor:
        """Write an operation of this package that gives a tensor back unchanged."""
        with self.paused():
            result = make_shape_only(tuple(tensor.shape), tensor.dtype)
        self.record(func, (tensor,), {}, result)
        return result.requires_grad_(tensor.requires_grad)

    def refuse_later(self, func: Any) -> None:
        """Remember an operation without a handler; all of them are reported at the end of the trace."""
        name = qualified_name(func)
        place = self.paths.current or "the model"
        entry = f"{name} in '{place}' ({remedy_for(op_name(func))})"
        if entry not in self.unsupported:
            self.unsupported.append(entry)

    def warn(self, message: str) -> None:
        """Note something that the device accepts silently but that deserves a look."""
        if message not in self.warnings:
            self.warnings.append(message)

    def check_finished(self) -> None:
        """Refuse the trace if it met operations without handlers."""
        if self.unsupported:
            names = sorted({entry.split(" ")[0] for entry in self.unsupported})
            raise py_error(
                f"Unsupported ops found in compiled model: [{', '.join(names)}]. "
                f"{'; '.join(self.unsupported)}."
            )


def short_name(dtype: torch.dtype) -> str:
    """A type as torch's C++ prints it."""
    name = str(dtype).replace("torch.", "")
    return {"int64": "Long", "int32": "Int", "float32": "Float", "float16": "Half"}.get(
        name, name.capitalize()
    )
