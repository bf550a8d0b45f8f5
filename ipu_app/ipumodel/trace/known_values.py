"""Values of constant expressions, which PopTorch evaluates with torch while it compiles.

A value is constant if it was made from constants alone, without random numbers. Its host value is worked out
beside the trace; writes into it, through views as well, are followed until something that is not constant is
written.
"""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

import torch
from torch import Tensor

from .graph import Node, Ref, map_structure, refs_in, written_values
from .rules_ops import RANDOM_OPS, base_name

_CPU = torch.device("cpu")


class KnownValues:
    """The host values of the constant values of a graph, by number."""

    def __init__(self) -> None:
        self._values: Dict[int, Tensor] = {}

    def put(self, number: int, value: Tensor) -> None:
        """Remember a constant; the tensor is written into where the forward does so."""
        self._values[number] = value

    def get(self, number: Optional[int]) -> Optional[Tensor]:
        """The value of a constant, None for what is computed on the device."""
        return None if number is None else self._values.get(number)

    def follow(self, node: Node) -> None:
        """Work out the results of an operation on constants; forget what another one writes into."""
        if self.are_known(node.args, node.kwargs) and base_name(node.name) not in RANDOM_OPS:
            try:
                self._keep(node, self.evaluate(node.func, node.args, node.kwargs))
                return
            except (RuntimeError, NotImplementedError, TypeError):
                pass  # a type that has no kernel on this host: not a constant then
        for number in written_values(node):
            self._forget(number)

    def are_known(self, args: Any, kwargs: Any) -> bool:
        """Whether all tensors among an operation's arguments are constants."""
        return all(number in self._values for number in refs_in((args, kwargs)))

    def evaluate(self, func: Any, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Any:
        """The result of an operation on constants, on the host."""

        def on_host(item: Any) -> Any:
            if isinstance(item, Ref):
                return self._values[item.index]
            return _CPU if isinstance(item, torch.device) else item

        return func(*map_structure(args, on_host), **map_structure(kwargs, on_host))

    def _keep(self, node: Node, result: Any) -> None:
        results = result if isinstance(result, (tuple, list)) else (result,)
        for number, value in zip(node.outputs, results):
            if number is not None and isinstance(value, Tensor):
                self._values[number] = value

    def _forget(self, number: int) -> None:
        changed = self._values.get(number)
        if changed is None:
            return
        memory = _memory(changed)
        self._values = {key: value for key, value in self._values.items() if _memory(value) != memory}


def _memory(tensor: Tensor) -> int:
    storage = tensor.untyped_storage() if hasattr(tensor, "untyped_storage") else tensor.storage()
    return int(storage.data_ptr())
