"""The recorded graph of one forward pass: what the trace writes, what the program is generated from.

A value is a number; a node is one ATen operation with the values it reads and writes. Shapes are those of one
micro-batch on one replica.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from typing import Any, Callable, Dict, Iterator, List, Optional, Set, Tuple

import torch

from .custom_args import parser_of


@dataclasses.dataclass(frozen=True)
class Ref:
    """A value of the graph, by number, in the place of a tensor argument."""

    index: int


@dataclasses.dataclass(frozen=True)
class Place:
    """Where an operation runs: module path, block, pipeline stage and IPU."""

    module: str
    block: str
    stage: int
    ipu: int


@dataclasses.dataclass
class Node:
    """One operation: `outputs` are value numbers, None for a result that is not a tensor."""

    func: Any
    args: Tuple[Any, ...]
    kwargs: Dict[str, Any]
    outputs: Tuple[Optional[int], ...]
    is_tuple: bool
    grad_enabled: bool
    place: Place

    @property
    def name(self) -> str:
        """The ATen name without namespace and overload, for example `convolution`."""
        return op_name(self.func)

    def reads(self) -> Iterator[int]:
        """Yield the numbers of the values that this node takes."""
        yield from refs_in(self.args)
        yield from refs_in(self.kwargs)

    @property
    def mutates(self) -> bool:
        """Whether the node writes into one of its arguments."""
        return bool(mutated_positions(self.func))


@dataclasses.dataclass(frozen=True)
class ValueInfo:
    """Shape and type of a value as the program sees it."""

    shape: Tuple[int, ...]
    dtype: torch.dtype


@dataclasses.dataclass
class Graph:
    """Operations in order, and what the value numbers stand for."""

    nodes: List[Node] = dataclasses.field(default_factory=list)
    values: List[ValueInfo] = dataclasses.field(default_factory=list)
    inputs: List[int] = dataclasses.field(default_factory=list)
    state: Dict[str, int] = dataclasses.field(default_factory=dict)
    constants: Dict[int, torch.Tensor] = dataclasses.field(default_factory=dict)
    loss: Optional[int] = None
    outputs: List[int] = dataclasses.field(default_factory=list)
    #: inputs that the forward writes into: the host's tensors are changed as well
    written_inputs: List[int] = dataclasses.field(default_factory=list)

    def new_value(self, tensor: torch.Tensor) -> int:
        """Number a value that looks like `tensor`."""
        self.values.append(ValueInfo(tuple(tensor.shape), tensor.dtype))
        return len(self.values) - 1

    def prune(self) -> None:
        """Drop operations whose results nobody reads and that write into nothing."""
        needed: Set[int] = set(self.outputs) | set(self.written_inputs)
        needed |= {self.loss} if self.loss is not None else set()
        kept: List[Node] = []
        for node in reversed(self.nodes):
            if node.mutates or any(value in needed for value in node.outputs):
                kept.append(node)
                needed.update(node.reads())
        self.nodes = kept[::-1]


@functools.lru_cache(maxsize=None)
def op_name(func: Any) -> str:
    """ATen name of an overload without namespace and overload name."""
    packet = getattr(func, "overloadpacket", func)
    return str(getattr(packet, "__name__", packet)).split(".")[-1]


def qualified_name(func: Any) -> str:
    """ATen name as PopTorch prints it, for example `aten::linspace`."""
    namespace = getattr(func, "namespace", "aten")
    return f"{namespace}::{op_name(func)}"


@functools.lru_cache(maxsize=None)
def mutated_positions(func: Any) -> Tuple[int, ...]:
    """Argument positions that an overload writes into, by its schema (batch norm's statistics included)."""
    name = op_name(func)
    if name in (
        "native_batch_norm",
        "cudnn_batch_norm",
        "_native_batch_norm_legit",
        "_batch_norm_with_update",
    ):
        return (3, 4)
    schema = getattr(func, "_schema", None)
    if schema is None:
        return ()
    found = []
    for position, argument in enumerate(schema.arguments):
        alias = argument.alias_info
        if alias is not None and alias.is_write:
            found.append(position)
    return tuple(found)


def written_tensors(func: Any, args: Tuple[Any, ...]) -> List[Any]:
    """The arguments that an operation writes into."""
    return [args[position] for position in mutated_positions(func) if position < len(args)]


def written_values(node: Node) -> Set[int]:
    """Values that a node writes into."""
    values = [node.args[position] for position in mutated_positions(node.func) if position < len(node.args)]
    return {value.index for value in values if isinstance(value, Ref)}


def refs_in(structure: Any) -> Iterator[int]:
    """Yield the value numbers in nested arguments."""
    if isinstance(structure, Ref):
        yield structure.index
    elif isinstance(structure, (list, tuple)):
        for item in structure:
            yield from refs_in(item)
    elif isinstance(structure, dict):
        for item in structure.values():
            yield from refs_in(item)


def map_structure(structure: Any, leaf: Callable[[Any], Any]) -> Any:
    """Rebuild nested lists, tuples and dicts with `leaf` applied to everything else."""
    if isinstance(structure, tuple) and hasattr(structure, "_fields"):
        return type(structure)(*(map_structure(item, leaf) for item in structure))
    if isinstance(structure, (list, tuple)):
        return type(structure)(map_structure(item, leaf) for item in structure)
    if isinstance(structure, dict):
        return _like(structure, {key: map_structure(item, leaf) for key, item in structure.items()})
    parser = parser_of(structure)
    if parser is not None:
        return parser.reconstruct(
            structure, iter([leaf(tensor) for tensor in parser.yieldTensors(structure)])
        )
    return leaf(structure)


def _like(original: Dict[Any, Any], items: Dict[Any, Any]) -> Dict[Any, Any]:
    """A dictionary of the same class; one whose class can not be made from items keeps what else it holds."""
    if type(original) is dict:
        return items
    try:
        return type(original)(items)  # type: ignore[call-arg]
    except TypeError:
        twin = copy.copy(original)
        twin.update(items)
        return twin


def leaves(structure: Any) -> Iterator[Any]:
    """Yield what is not a list, tuple or dict in nested structures, in order."""
    if isinstance(structure, (list, tuple)):
        for item in structure:
            yield from leaves(item)
    elif isinstance(structure, dict):
        for item in structure.values():
            yield from leaves(item)
    else:
        parser = parser_of(structure)
        yield from [structure] if parser is None else parser.yieldTensors(structure)


def tensors_in(structure: Any) -> List[torch.Tensor]:
    """The tensors of a nested structure, in order."""
    return [leaf for leaf in leaves(structure) if isinstance(leaf, torch.Tensor)]
