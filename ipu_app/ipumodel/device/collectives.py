"""Sums over the processes of a distributed run: torch.distributed's default group, or what the tests plug
in.
"""

from __future__ import annotations

from typing import Callable, List, Optional

import torch
from torch import Tensor

from .._errors import py_error

AllReduce = Callable[[Tensor], Tensor]
_plugged: List[AllReduce] = []


def set_all_reduce(function: Optional[AllReduce]) -> None:
    """Use `function(flat tensor) -> sum over all processes` for gradients; None goes back to
    torch.distributed.
    """
    _plugged[:] = [] if function is None else [function]


def all_reduce_sum(tensors: List[Tensor], num_processes: int) -> None:
    """Replace tensors by their sum over all processes; Error if there is no way to reach the others."""
    if num_processes == 1 or not tensors:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    total = _summed(flat, num_processes)
    for tensor, part in zip(tensors, total.split([tensor.numel() for tensor in tensors])):
        tensor.copy_(part.reshape(tensor.shape))


def _summed(flat: Tensor, num_processes: int) -> Tensor:
    if _plugged:
        return _plugged[-1](flat)
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        raise py_error(
            f"Options().Distributed has {num_processes} processes, but this one cannot reach the others: "
            "call torch.distributed.init_process_group('gloo') first, or Distributed.disable() for a "
            "single process."
        )
    if distributed.get_world_size() != num_processes:
        raise py_error(
            f"Options().Distributed has {num_processes} processes, but torch.distributed's group has "
            f"{distributed.get_world_size()}: start as many processes as configured."
        )
    distributed.all_reduce(flat)
    return flat
