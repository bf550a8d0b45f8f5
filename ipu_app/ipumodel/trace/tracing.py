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

from .._errors import Error, cpp_error, py_error
from . import context, factories, rules_calls, rules_dispatch
from .graph import Graph, map_structure, tensors_in
from .mutation import write_through_steps, written_roots
from .tracer import UNKNOWN_TENSOR, Tracer
from .types import META, device_dtype
from .types import shape_only as make_shape_only


class _RecordingMode(TorchDispatchMode):
    """Sends every ATen operation through the rules and into the graph."""

    def __init__(self, tracer: Tracer) -> None:
        super().__init__()
        self._tracer = tracer

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Tuple[Any, ...] = (), kwargs: Optional[Dict[str, Any]] = None
    ) -> Any:
        return rules_dispatch.dispatch(self._tracer, func, tuple(args), dict(kwargs or {}))


@contextlib.contextmanager
def _modes(tracer: Tracer) -> Iterator[None]:
    with torch.set_grad_enabled(tracer.training), rules_calls.CallMode(tracer), _RecordingMode(tracer):
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
        shape_only = make_shape_only(tuple(tensor.shape), device_dtype(tensor.dtype))
        if isinstance(tensor, nn.Parameter):
            shape_only = nn.Parameter(shape_only, requires_grad=tensor.requires_grad)
        tracer.graph.state[full] = tracer.adopt(shape_only)
        made[id(tensor)] = shape_only
    return made[id(tensor)]


def _check_not_replaced(store: Dict[str, Any], name: str, shadow: Optional[Tensor], full: str) -> None:
    kind = "Parameter" if isinstance(shadow, nn.Parameter) else "Buffer"
    if name not in store:
        raise py_error(f"{kind} {full} is removed from the model when calling the forward method.")
    if store[name] is not shadow and name != "num_batches_tracked":
        raise py_error(
            f"{kind} {full} is reassigned within the model when calling the forward method. This is not "
            f"supported. Consider using self.{full}.copy_(src) to copy data from a source tensor, where src "
            "is the name of the source tensor."
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
    context.push(tracer)
    try:
        with _shape_only_state(model, tracer), tracer.paths, factories.patched(META), _modes(tracer):
            outputs = model(*args, **kwargs)
    finally:
        context.pop()
    tracer.check_finished()
    _finish(tracer, outputs)
    return tracer, outputs


def _input_stand_in(tracer: Tracer, tensor: Tensor) -> Tensor:
    shape_only = make_shape_only(tuple(tensor.shape), device_dtype(tensor.dtype))
    tracer.graph.inputs.append(tracer.adopt(shape_only))
    return shape_only


def _check_writes(graph: Graph) -> None:
    node = write_through_steps(graph)
    if node is not None:
        raise py_error(
            "In-place modification of slices with step size other than 1 is not supported. (aten::"
            f"{node.name} in '{node.place.module}') Write with torch.where and a mask, or with steps of 1."
        )


def _check_overlapped(tracer: Tracer) -> None:
    """Only transfers of inputs and outputs can overlap with compute."""
    places = {"set_overlap_for_input": tracer.graph.inputs, "set_overlap_for_output": tracer.graph.outputs}
    for name, numbers in places.items():
        kind = name.rpartition("_")[2]
        for number in tracer.overlapped[name]:
            if number not in numbers:
                raise cpp_error(
                    f"poptorch.{name} applied on a node which is not a tensor {kind} to the model.",
                    "poptorch_cpp_error",
                )
            if kind == "output" and numbers.count(number) > 1:
                raise cpp_error(
                    f"poptorch.{name} cannot be used with a tensor that is returned twice. Please check all "
                    "returned tensors including those nested in tuples/lists.",
                    "poptorch_cpp_error",
                )


def _finish(tracer: Tracer, outputs: Any) -> None:
    graph = tracer.graph
    _check_writes(graph)
    for tensor in tensors_in(outputs):
        number = tracer.number_of(tensor)
        if number is not None:
            graph.outputs.append(tracer.as_read(number))
        elif tensor.device.type == "meta":
            raise py_error("An output of the model is not a result of traced operations")
    _check_overlapped(tracer)
    if tracer.training:
        graph.loss = tracer.losses.final_loss(graph)
    graph.written_inputs = [number for number in graph.inputs if number in written_roots(graph)]
    graph.prune()
