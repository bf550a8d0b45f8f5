"""What a recorded forward writes into: parameters and buffers, through views as well, and what it may not."""

from __future__ import annotations

from typing import Dict, Optional, Set

from .graph import Graph, Node, written_values

# what the program runs as a reshape, because strides on the host may differ from those of the trace
RESHAPES = ("view", "_unsafe_view")
# batch norm writes its running statistics only when it uses the batch's own
_TRAINING_FLAG = {"native_batch_norm": 5, "_native_batch_norm_legit": 5, "cudnn_batch_norm": 5}


def mutated_state(graph: Graph, *, by_norms: bool = True) -> Set[str]:
    """Names of the state tensors that some operation writes into; optionally without those that only a batch
    norm writes, as results of its own.
    """
    written = written_roots(graph, by_norms=by_norms)
    return {name for name, number in graph.state.items() if number in written}


def written_roots(graph: Graph, *, by_norms: bool = True) -> Set[int]:
    """Values that some operation writes into, directly or through a view of them."""
    base: Dict[int, int] = {}
    found: Set[int] = set()
    for node in graph.nodes:
        if _is_view(node):
            source = next(iter(node.reads()), None)
            for output in node.outputs:
                if output is not None and source is not None:
                    base[output] = base.get(source, source)
        if not by_norms and node.name in _TRAINING_FLAG:
            continue
        for value in _written(node):
            found.add(base.get(value, value))
    return found


def writes_through_reshapes(graph: Graph) -> bool:
    """Whether some operation writes into what a `view` made, on the host perhaps a copy, or into a part of
    that.
    """
    reshaped: Set[int] = set()
    for node in graph.nodes:
        if reshaped.intersection(_written(node)):
            return True
        if node.name in RESHAPES or (_is_view(node) and reshaped.intersection(node.reads())):
            reshaped.update(output for output in node.outputs if output is not None)
    return False


def write_through_steps(graph: Graph) -> Optional[Node]:
    """The first operation that writes through a slice with a step other than 1, None if there is none."""
    stepped: Set[int] = set()
    for node in graph.nodes:
        if written_values(node) & stepped:
            return node
        if _is_view(node) and (_has_step(node) or next(iter(node.reads()), None) in stepped):
            stepped.update(output for output in node.outputs if output is not None)
    return None


def _has_step(node: Node) -> bool:
    if node.name != "slice":
        return False
    step = node.args[4] if len(node.args) > 4 else node.kwargs.get("step", 1)
    return bool(step != 1)


def _is_view(node: Node) -> bool:
    returns = getattr(node.func, "_schema", None)
    aliases = [item.alias_info for item in returns.returns] if returns is not None else []
    return any(alias is not None and not alias.is_write for alias in aliases)


def _written(node: Node) -> Set[int]:
    flag = _TRAINING_FLAG.get(node.name)
    if flag is not None and not node.args[flag]:
        return set()
    return written_values(node)
