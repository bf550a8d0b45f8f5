"""Processes that talk through Horovod: under horovodrun, and beside PopDist under PopRun.

Horovod is optional and imported late, here only. It never touches the gradients of an IPU; on GPUs and CPUs
it averages them explicitly (see gradients.py).
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import torch

from ipu_app.distributed.comm import Comm
from ipu_app.distributed.world import World


def load_horovod() -> ModuleType:
    """Return horovod.torch; refuse (ValueError) with the way out where Horovod is not installed."""
    try:
        return importlib.import_module("horovod.torch")
    except ModuleNotFoundError as error:
        if error.name not in ("horovod", "horovod.torch"):
            raise
        raise ValueError(
            "horovod is not installed: install requirements-horovod.txt, or start the job with torchrun"
        ) from error


class HorovodComm(Comm):
    """Horovod's collectives. The ranks that Horovod finds must be those of the launcher's environment."""

    def __init__(self, world: World, device: str) -> None:
        self._hvd: Any = load_horovod()
        self._hvd.init()
        rank, size = self._hvd.rank(), self._hvd.size()
        if (rank, size) != (world.rank, world.size):
            raise ValueError(
                f"horovod is rank {rank} of {size}, but {world.launcher} says {world.rank} of {world.size}: "
                "build Horovod for the MPI that starts the job, or start it with horovodrun"
            )
        super().__init__(rank, size, torch.device("cpu"))
        if device.startswith("cuda"):
            torch.cuda.set_device(world.local_rank % max(torch.cuda.device_count(), 1))

    def all_reduce_(self, tensor: torch.Tensor) -> torch.Tensor:
        """Sum a tensor over all processes, in place; return it."""
        flat = tensor.contiguous().reshape(-1)
        with self._naming_errors():
            summed = self._hvd.allreduce_(flat, op=self._hvd.Sum)
        return tensor if _shares(tensor, summed) else tensor.copy_(summed.view_as(tensor))

    def broadcast_(self, tensor: torch.Tensor, root: int = 0) -> torch.Tensor:
        """Overwrite a tensor by the root's, in place; return it."""
        flat = tensor.contiguous().reshape(-1)
        with self._naming_errors():
            received = self._hvd.broadcast_(flat, root_rank=root)
        return tensor if _shares(tensor, received) else tensor.copy_(received.view_as(tensor))

    def close(self) -> None:
        """Wait for the others, then end Horovod."""
        self.barrier()
        self._hvd.shutdown()

    def abort(self) -> None:
        """End Horovod: what the others wait for fails there."""
        self._hvd.shutdown()


def _shares(first: torch.Tensor, second: torch.Tensor) -> bool:
    return bool(first.data_ptr() == second.data_ptr())
