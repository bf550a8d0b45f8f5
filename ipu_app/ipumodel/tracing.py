"""Records one forward pass on shape-only tensors, as PopTorch's dispatcher does, and refuses what it refuses.

The whole Python forward runs once, on `meta` tensors of micro-batch shape. A dispatch mode sees every ATen
operation below torch's composites; a function mode sees the calls above them, for the rules that only show
there (losses, type casts of convolutions and norms, reading values). The result is a `Graph`, which the
executor turns into a program: whatever Python did or decided in the forward is frozen, as on the device.
"""

from __future__ import annotations

import contextlib
from typing import Any, Dict, Iterator, List, Optional, Tuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from . import _context, _factories, _recording, _rules_calls, _rules_dispatch, _rules_loss
from ._blocks_state import BlockTracker
from ._errors import Error, py_error
from ._graph import Graph, Node, Place, Ref, map_structure, op_name, qualified_name, tensors_in
from ._module_paths import ModulePaths
from ._mutation import write_through_steps
from ._rules_ops import remedy_for

META = torch.device("meta")
UNKNOWN_TENSOR = "Expected an IPU tensor but got"
_NARROWED = {torch.int64: torch.int32, torch.float64: torch.float32, torch.bfloat16: torch.float32}


@contextlib.contextmanager
def _dispatch_off() -> Iterator[None]:
    """Without this, torch 1.13 cannot make a host tensor while a dispatch mode is on."""
    guard = torch._C._DisableTorchDispatch()
    with guard if hasattr(guard, "__enter__") else contextlib.nullcontext():
        yield
    del guard  # the older guards act from construction to destruction


def _shape_only(shape: Tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A tensor without data; not made through torch.empty, which the trace replaces."""
    if 0 in shape:
        raise py_error(f"Zero-sized tensors are unsupported (Got shape {list(shape)}).")
    return torch.Tensor().new_empty(shape, dtype=dtype, device=META)


def device_dtype(dtype: torch.dtype) -> torch.dtype:
    """The type that the device uses for a host type: 64-bit types are narrowed; others than numbers are
    refused.
    """
    if dtype.is_complex:
        raise py_error(f"Unsupported input type {dtype}: the device has no complex numbers")
    return _NARROWED.get(dtype, dtype)


class Tracer:
    """State of one trace: the graph so far, which tensor is which value, blocks, losses and what was
    refused.
    """

    def __init__(
        self, model: nn.Module, strategy: Any, *, training: bool, has_strided_groups: bool = False
    ) -> None:
        self.has_strided_groups = has_strided_groups
        self.graph = Graph()
        self.training = training
        self.blocks = BlockTracker(strategy)
        self.losses = _rules_loss.LossBook()
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

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Work on the host that the trace does not see."""
        before, self.is_paused = self.is_paused, True
        try:
            with _dispatch_off():
                yield
        finally:
            self.is_paused = before

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
        return isinstance(value, Tensor) and value.device.type == "meta"

    def constant(self, tensor: Tensor) -> Tensor:
        """Bring a host tensor onto the device as a constant that is compiled in."""
        with self.paused():
            value = tensor.detach().to(device_dtype(tensor.dtype)).clone()
            shape_only = _shape_only(tuple(value.shape), value.dtype)
        self.graph.constants[self.adopt(shape_only)] = value
        return shape_only

    def ref(self, tensor: Tensor, op: str) -> Ref:
        """The graph's name for a tensor argument; Error for tensors that are not on the device."""
        number = self.number_of(tensor)
        if number is not None:
            return Ref(number)
        shape = list(tensor.shape)
        raise py_error(
            f"{UNKNOWN_TENSOR} tensor(device={tensor.device.type}, shape={shape}, "
            f"dtype={tensor.dtype}) in aten::{op} in '{self.paths.current}'. Register it as a buffer of the "
            "model, or move it with `.to(x.device)`, which compiles it in as a constant."
        )

    # ---- operations

    def record(self, func: Any, args: Tuple[Any, ...], kwargs: Dict[str, Any], result: Any) -> Any:
        """Write one operation with its results into the graph and return the results with device types."""
        name = op_name(func)
        block, stage, ipu = self.blocks.current(name, self.paths.current)
        place = Place(self.paths.current, block, stage, ipu)
        to_ref = lambda item: self.ref(item, name) if isinstance(item, Tensor) else item  # noqa: E731
        node_args, node_kwargs = map_structure(tuple(args), to_ref), map_structure(dict(kwargs), to_ref)
        outputs = result if isinstance(result, (tuple, list)) else (result,)
        writes = _recording.written_tensors(func, args)
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
        return result

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


class _RecordingMode(TorchDispatchMode):
    """Sends every ATen operation through the rules and into the graph."""

    def __init__(self, tracer: Tracer) -> None:
        super().__init__()
        self._tracer = tracer

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Tuple[Any, ...] = (), kwargs: Optional[Dict[str, Any]] = None
    ) -> Any:
        return _rules_dispatch.dispatch(self._tracer, func, tuple(args), dict(kwargs or {}))


@contextlib.contextmanager
def _modes(tracer: Tracer) -> Iterator[None]:
    with torch.set_grad_enabled(tracer.training), _rules_calls.CallMode(tracer), _RecordingMode(tracer):
        yield


@contextlib.contextmanager
def _shape_only_state(model: nn.Module, tracer: Tracer) -> Iterator[None]:
    """Put shape-only stand-ins in the place of all parameters and buffers; Error if the forward replaces
    one.
    """
    originals: List[Tuple[Dict[str, Any], str, Optional[Tensor], Optional[Tensor], str]] = []
    stand_ins: Dict[int, Tensor] = {}
    for path, module in model.named_modules(remove_duplicate=True):
        for store in (module._parameters, module._buffers):
            for name, tensor in list(store.items()):
                full = f"{path}.{name}" if path else name
                shadow = _stand_in(tracer, full, tensor, stand_ins)
                originals.append((store, name, tensor, shadow, full))
                store[name] = shadow

    def check() -> None:
        for store, name, _, shadow, full in originals:
            _check_not_replaced(store, name, shadow, full)

    try:
        yield
        check()
    except Error as error:
        if UNKNOWN_TENSOR in str(error):  # a new Parameter is unknown to the trace: say where it came from
            check()
        raise
    finally:
        for store, name, tensor, _, _ in originals:
            store[name] = tensor


def _stand_in(
    tracer: Tracer, full: str, tensor: Optional[Tensor], made: Dict[int, Tensor]
) -> Optional[Tensor]:
    if tensor is None:
        return None
    if id(tensor) not in made:
        shape_only = _shape_only(tuple(tensor.shape), device_dtype(tensor.dtype))
        if isinstance(tensor, nn.Parameter):
            shape_only = nn.Parameter(shape_only, requires_grad=tensor.requires_grad)
        tracer.graph.state[full] = tracer.adopt(shape_only)
        made[id(tensor)] = shape_only
    return made[id(tensor)]


def _check_not_replaced(store: Dict[str, Any], name: str, shadow: Optional[Tensor], full: str) -> None:
    if name not in store:
        raise py_error(f"Buffer or parameter {full} is deleted within the model, which is not supported.")
    if store[name] is not shadow and name != "num_batches_tracked":
        raise py_error(
            f"Buffer or parameter {full} is reassigned within the model, which is not supported. Consider "
            f"using self.{name}.copy_(src) instead of self.{name} = src."
        )


def trace(
    model: nn.Module,
    args: Tuple[Any, ...],
    kwargs: Dict[str, Any],
    *,
    strategy: Any,
    training: bool,
    has_strided_groups: bool = False,
) -> Tuple[Tracer, Any]:
    """Run the forward once on shapes and return the finished tracer and the (shape-only) outputs.

    `args` and `kwargs` are nested structures whose tensors have micro-batch shape already. Errors of the
    user's own code pass through unchanged.
    """
    tracer = Tracer(model, strategy, training=training, has_strided_groups=has_strided_groups)
    stand = lambda item: _input_stand_in(tracer, item) if isinstance(item, Tensor) else item  # noqa: E731
    args, kwargs = map_structure(tuple(args), stand), map_structure(dict(kwargs), stand)
    getattr(strategy, "onStartTracing", lambda: None)()
    _context.push(tracer)
    try:
        with _shape_only_state(model, tracer), tracer.paths, _factories.patched(META), _modes(tracer):
            outputs = model(*args, **kwargs)
    finally:
        _context.pop()
    tracer.check_finished()
    _finish(tracer, outputs)
    return tracer, outputs


def _input_stand_in(tracer: Tracer, tensor: Tensor) -> Tensor:
    shape_only = _shape_only(tuple(tensor.shape), device_dtype(tensor.dtype))
    tracer.graph.inputs.append(tracer.adopt(shape_only))
    return shape_only


def _check_writes(graph: Graph) -> None:
    node = write_through_steps(graph)
    if node is not None:
        raise py_error(
            f"aten::{node.name} in '{node.place.module}': in-place assignment to a slice with a step "
            "other than 1 is not supported. Write with torch.where and a mask, or with steps of 1."
        )


def _finish(tracer: Tracer, outputs: Any) -> None:
    graph = tracer.graph
    _check_writes(graph)
    for tensor in tensors_in(outputs):
        number = tracer.number_of(tensor)
        if number is not None:
            graph.outputs.append(number)
        elif tensor.device.type == "meta":
            raise py_error("An output of the model is not a result of traced operations")
    if tracer.training:
        graph.loss = tracer.losses.final_loss(graph)
    graph.prune()
