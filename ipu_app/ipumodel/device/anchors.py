"""Inner tensors that come back with every call: Options.anchorTensor.

Gradients (``Gradient___WEIGHT``, loss-scaled, of one micro-batch), updated weights (``UpdatedVar___WEIGHT``),
weights, and ``finalLossScale``. Results of single operations are not among them: return those from the model.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional

import torch
from torch import Tensor

from .._errors import cpp_error
from .outputs import OutputCollector

_GRADIENT, _UPDATED, _SCALE = "Gradient___", "UpdatedVar___", "finalLossScale"


class Anchors:
    """Collects what was asked for, by output mode; ``values`` holds what the last call gave, by short name.

    ``wanted`` is Options.anchored_tensors: short name -> [name, _, mode, period].
    """

    def __init__(
        self,
        wanted: Dict[str, List[Any]],
        leaves: Dict[str, Tensor],
        storage: Dict[str, Tensor],
        optimizer: Optional[Any],
        replicas: int,
    ) -> None:
        self._wanted, self._leaves, self._storage = wanted, leaves, storage
        self._optimizer, self._replicas = optimizer, replicas
        self._before: Dict[str, Optional[Tensor]] = {}
        self._collectors: Dict[str, OutputCollector] = {}
        self.values: Dict[str, Tensor] = {}
        for name, *_ in wanted.values():
            self._check(name)

    def __bool__(self) -> bool:
        return bool(self._wanted)

    def _check(self, name: str) -> None:
        if name.startswith(_GRADIENT):
            is_known = name[len(_GRADIENT) :] in self._leaves
        elif name == _SCALE:
            is_known = self._optimizer is not None
        else:
            is_known = name.replace(_UPDATED, "", 1) in self._storage
        if not is_known:
            raise cpp_error(
                f"Anchor tensor {name!r} is not in the graph. The simulator returns weights, "
                "Gradient___WEIGHT, UpdatedVar___WEIGHT and finalLossScale; return other values as outputs."
            )

    def start_call(self) -> None:
        """Forget the last call's."""
        self._collectors = {
            short: OutputCollector(mode, period, self._replicas, [self._dtype(name)])
            for short, (name, _, mode, period) in self._wanted.items()
        }

    def _dtype(self, name: str) -> torch.dtype:
        weight = name.replace(_GRADIENT, "", 1).replace(_UPDATED, "", 1)
        return self._storage[weight].dtype if weight in self._storage else torch.float32

    def before_micro_batch(self) -> None:
        """Remember gradients that are there already, to tell one micro-batch's from the sum."""
        self._before = {
            name: None if leaf.grad is None else leaf.grad.clone() for name, leaf in self._leaves.items()
        }

    @torch.no_grad()
    def after_micro_batch(self) -> None:
        """Take this micro-batch's values."""
        for short, (name, *_) in self._wanted.items():
            self._collectors[short].add([self._value(name)])

    def _value(self, name: str) -> Tensor:
        if name == _SCALE:
            assert self._optimizer is not None
            return torch.tensor(self._optimizer.loss_scaling)
        if not name.startswith(_GRADIENT):
            return self._storage[name.replace(_UPDATED, "", 1)].float()
        name = name[len(_GRADIENT) :]
        leaf, before = self._leaves[name], self._before.get(name)
        if leaf.grad is None:
            return torch.zeros_like(leaf)
        return leaf.grad - before if before is not None else leaf.grad

    @torch.no_grad()
    def end_call(self) -> None:
        """Make the collected values available; updated weights are those of the last update."""
        for short, (name, *_) in self._wanted.items():
            if name.startswith(_UPDATED):
                self.values[short] = self._storage[name[len(_UPDATED) :]].clone()
            else:
                self.values[short] = self._collectors[short].combined()[0]
