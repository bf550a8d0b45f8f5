"""Turns a recorded graph into a Python function over host tensors: one call is one micro-batch on one
replica.

The function is generated as source, one line an operation, so that running it costs no more than the eager
module did: no dispatch mode, no interpreter over nodes, and every intermediate value is let go after its
last use.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Set, Tuple

import torch

from ..trace.graph import Graph, Node, Ref, map_structure, written_values
from ..trace.mutation import RESHAPES, writes_through_reshapes, written_roots
from ..trace.rules_ops import RANDOM_OPS, base_name
from .numerics import Emulation
from .overflow import can_overflow, trap

CPU = torch.device("cpu")
# ATen overloads with a faster way in from Python than the generic operator call
_FAST: Dict[str, Callable[..., Any]] = {}


class Program:
    """`run(state, inputs)` -> (loss or None, outputs); `state` and `inputs` are lists in the graph's
    order. With `stops_at_overflow` every operation's results are looked at.
    """

    def __init__(self, graph: Graph, *, training: bool, stops_at_overflow: bool = False) -> None:
        self.state_names = list(graph.state)
        self.uses_random = any(base_name(node.name) in RANDOM_OPS for node in graph.nodes)
        self.emulation = Emulation.of(graph)
        self.memory_format = _memory_format(graph)
        self.loss_is_half = graph.loss is not None and self.emulation.is_half(graph.loss)
        self._graph, self._training = graph, training
        self._stops_at_overflow = stops_at_overflow
        self._bound: Dict[str, Any] = {"_grad": torch._C._set_grad_enabled}
        self._bound_names: Dict[Tuple[int, str], str] = {}
        self._names: Dict[int, str] = {}
        self.source = self._write()
        exec(compile(self.source, "<ipu program>", "exec"), self._bound)
        self.run: Callable[[List[Any], List[Any]], Tuple[Any, List[Any]]] = self._bound["run"]

    # ---- source

    def _write(self) -> str:
        graph = self._graph
        lines = ["def run(state, inputs):"]
        last_reader = self._last_readers()
        written = written_roots(graph)
        for position, number in enumerate(graph.inputs):
            lines.append(f"    v{number} = inputs[{position}]{'.clone()' if number in written else ''}")
        state_order = {number: position for position, number in enumerate(graph.state.values())}
        self._names = {number: f"state[{position}]" for number, position in state_order.items()}
        for number, value in graph.constants.items():
            name = self._bind(self.emulation.stored(value), f"c{number}")
            if number in written:  # a fresh copy for every micro-batch
                lines.append(f"    v{number} = {name}.clone()")
            else:
                self._names[number] = name
        for number in sorted(self.emulation.rounded_parameters()) if self._training else ():
            rounding = self._bind(self.emulation.rounding(False), "round_half")
            lines.append(f"    v{number} = {rounding}({self._names.pop(number)})")
        grad_enabled = True
        for position, node in enumerate(graph.nodes):
            if self._training and node.grad_enabled != grad_enabled:
                grad_enabled = node.grad_enabled
                lines.append(f"    _grad({grad_enabled})")
            lines += [f"    {line}" for line in self._node_lines(position, node, last_reader)]
        if not grad_enabled:
            lines.append("    _grad(True)")
        loss = self._name(graph.loss) if graph.loss is not None else "None"
        lines.append(f"    return {loss}, [{', '.join(self._name(value) for value in self._returned())}]")
        return "\n".join(lines)

    def _returned(self) -> List[int]:
        """The model's outputs, and after them the inputs that it changes."""
        return self._graph.outputs + self._graph.written_inputs

    def _name(self, value: int) -> str:
        return self._names.get(value, f"v{value}")

    def _last_readers(self) -> Dict[int, int]:
        last: Dict[int, int] = {}
        for position, node in enumerate(self._graph.nodes):
            for value in list(node.reads()) + [value for value in node.outputs if value is not None]:
                last[value] = position
        kept = set(self._returned()) | {self._graph.loss}
        return {value: position for value, position in last.items() if value not in kept}

    def _node_lines(self, position: int, node: Node, last_reader: Dict[int, int]) -> List[str]:
        func, args, kwargs = self.emulation.adapted(node, *_on_host(node))
        fast = _fast_call(func, node.name)
        call = f"{self._bind(fast, f'f_{node.name}')}({self._arguments(args, kwargs)})"
        lines = [f"{self._targets(node)}{call}"]
        lines += self._rounding(node)
        if self._stops_at_overflow and can_overflow(node):
            lines.append(self._trap_line(node))
        dead = sorted(
            {v for v in self._touched(node) if last_reader.get(v) == position and v not in self._names}
        )
        if dead:
            lines.append("del " + ", ".join(f"v{value}" for value in dead))
        return lines

    def _trap_line(self, node: Node) -> str:
        written = written_values(node)
        inputs = [self._name(value) for value in node.reads() if value not in written]
        outputs = [self._name(value) for value in node.outputs if value is not None]
        lists = (f"({''.join(f'{name}, ' for name in names)})" for names in (inputs, outputs))
        return f"{self._bind(trap(node), 'trap')}({', '.join(lists)})"

    def _targets(self, node: Node) -> str:
        if not node.is_tuple:
            return f"v{node.outputs[0]} = " if self._is_new(node, node.outputs[0]) else ""
        used = [f"v{value}" if self._is_new(node, value) else "_" for value in node.outputs]
        return ", ".join(used) + (", = " if len(used) == 1 else " = ")

    def _is_new(self, node: Node, value: Any) -> bool:
        return value is not None and value not in self._names and value not in set(node.reads())

    def _touched(self, node: Node) -> Set[int]:
        return set(node.reads()) | {value for value in node.outputs if value is not None}

    def _rounding(self, node: Node) -> List[str]:
        lines = []
        for value, in_place in self.emulation.rounded_outputs(node):
            function = self._bind(
                self.emulation.rounding(in_place), "round_in_place" if in_place else "round_half"
            )
            name = self._name(value)
            lines.append(f"{function}({name})" if in_place else f"{name} = {function}({name})")
        return lines

    def _arguments(self, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> str:
        parts = [self._literal(item) for item in args]
        parts += [f"{key}={self._literal(item)}" for key, item in kwargs.items()]
        return ", ".join(parts)

    def _literal(self, item: Any) -> str:
        if isinstance(item, Ref):
            return self._name(item.index)
        if isinstance(item, (list, tuple)) and any(_holds_ref(part) for part in item):
            return "[" + ", ".join(self._literal(part) for part in item) + "]"
        if item is None or isinstance(item, (bool, int, str)):
            return repr(item)
        return self._bind(item, "k")

    def _bind(self, item: Any, hint: str) -> str:
        key = (id(item), hint)
        if key not in self._bound_names:
            self._bound_names[key] = f"{hint}_{len(self._bound)}"
            self._bound[self._bound_names[key]] = item
        return self._bound_names[key]


def _memory_format(graph: Graph) -> torch.memory_format:
    """Channels last, in which the CPU convolves faster, wherever it is safe.

    It turns some views into copies, which must not be written into; and torch 2.0 crashes in the backward of
    a group norm without weight.
    """
    bare_norm = any(node.name == "native_group_norm" and node.args[1] is None for node in graph.nodes)
    return torch.contiguous_format if bare_norm or writes_through_reshapes(graph) else torch.channels_last


def _holds_ref(item: Any) -> bool:
    return isinstance(item, Ref) or (
        isinstance(item, (list, tuple)) and any(_holds_ref(part) for part in item)
    )


def _on_host(node: Node) -> Tuple[Any, Tuple[Any, ...], Dict[str, Any]]:
    """The operation with host devices in the place of the shape-only one."""
    host = lambda item: CPU if isinstance(item, torch.device) else item  # noqa: E731
    args, kwargs = map_structure((tuple(node.args), dict(node.kwargs)), host)
    func = node.func
    if node.name in RESHAPES:
        func = torch.ops.aten.reshape.default
    return func, args, kwargs


def _fast_call(func: Any, name: str) -> Callable[..., Any]:
    call = _FAST.get(name)
    return call if call is not None else getattr(func, "_op", func)
