"""Collects the outputs of micro-batches by output mode and gives them back in the model's own structure."""

from __future__ import annotations

import warnings
from typing import Any, List

import torch
from torch import Tensor

from .._errors import py_error
from ..enums import OutputMode
from ..trace.graph import map_structure, tensors_in
from .numerics import to_half_grid


class OutputCollector:
    """Takes every micro-batch's outputs in the order [D, A, R] and keeps what the mode asks for.

    `dtypes` are the device types of the outputs: float16 ones arrive in float32 storage.
    """

    def __init__(self, mode: int, period: int, replicas: int, dtypes: List[torch.dtype]) -> None:
        self._mode, self._period, self._replicas, self._dtypes = mode, period, replicas, dtypes
        self._kept: List[List[Tensor]] = []
        self._count = 0

    def add(self, outputs: List[Tensor]) -> None:
        """Take the outputs of the next micro-batch (replicas run fastest)."""
        step, replica = divmod(self._count, self._replicas)
        self._count += 1
        values = [output.detach() for output in outputs]
        if self._mode == OutputMode.EveryN and (step + 1) % self._period:
            return
        if self._mode in (OutputMode.All, OutputMode.EveryN) or len(self._kept) <= replica:
            self._kept.append([value.clone() for value in values])
        elif self._mode == OutputMode.Sum:
            self._kept[replica] = self._added(self._kept[replica], values)
        else:
            self._kept[replica] = [value.clone() for value in values]

    @property
    def num_kept(self) -> int:
        """Micro-batches whose outputs come back."""
        return len(self._kept)

    def _added(self, sums: List[Tensor], values: List[Tensor]) -> List[Tensor]:
        """Sum in the output's own type, as the device does: float16 sums overflow."""
        totals = [total + value for total, value in zip(sums, values)]
        return [
            to_half_grid(total) if dtype == torch.float16 else total.to(value.dtype)
            for total, value, dtype in zip(totals, values, self._dtypes)
        ]

    def combined(self) -> List[Tensor]:
        """One tensor an output: dim 0 widened by the number of kept micro-batches, 0-d ones to a vector."""
        merged = []
        for position, dtype in enumerate(self._dtypes):
            rows = [kept[position] for kept in self._kept]
            merged.append(_widened(rows).to(dtype))
        return merged


def _widened(rows: List[Tensor]) -> Tensor:
    if len(rows) == 1:
        return rows[0]
    return torch.stack(rows) if rows[0].dim() == 0 else torch.cat(rows)


class OutputStructure:
    """The nesting of a model's outputs: which leaves come from the device and which are host constants."""

    def __init__(self, outputs: Any) -> None:
        # shape-only tensors stand for those that come from the device, without the trace's history
        forget = lambda leaf: leaf.detach() if isinstance(leaf, Tensor) and leaf.is_meta else leaf  # noqa: E731
        self._outputs = map_structure(outputs, forget)
        if any(tensor.device.type != "meta" for tensor in tensors_in(outputs)):
            warnings.warn(
                "Output expected to be on the IPU but is on cpu: it is returned unchanged, once, whatever "
                "the output mode",
                stacklevel=4,
            )

    def rebuild(self, tensors: List[Tensor]) -> Any:
        """Put device outputs into their places."""
        remaining = iter(tensors)

        def place(leaf: Any) -> Any:
            is_on_device = isinstance(leaf, Tensor) and leaf.device.type == "meta"
            return as_output(next(remaining)) if is_on_device else leaf

        return map_structure(self._outputs, place)


def _refuse_backward(*args: Any, **kwargs: Any) -> None:
    raise py_error(
        "backward() cannot be called on an output of a poptorch executor: the call has already made the "
        "backward pass and the weight update on the device."
    )


def as_output(tensor: Tensor) -> Tensor:
    """Mark a tensor as an executor's output: backward() on it is refused."""
    tensor.backward = _refuse_backward  # type: ignore[method-assign,assignment]
    return tensor
