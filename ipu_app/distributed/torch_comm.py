"""Processes that talk through torch.distributed: gloo between CPUs, nccl between GPUs."""

from __future__ import annotations

from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn

from ipu_app.distributed.comm import Comm
from ipu_app.distributed.gradients import GradientSync, WrappedGradients
from ipu_app.distributed.world import World


class TorchComm(Comm):
    """One torch.distributed process group over the whole job.

    nccl wants a GPU of its own for every process of a host; where there are fewer, gloo is taken, also for
    models on GPUs. Collectives fail after ``timeout_s`` seconds, and at once when a peer's connection breaks.
    """

    def __init__(self, world: World, device: str, *, timeout_s: float) -> None:
        backend = _backend_for(world, device)
        if world.master_addr is None:
            raise ValueError(
                f"MASTER_ADDR is not set and {world.launcher} started this job on several hosts: "
                "set MASTER_ADDR to the host of rank 0"
            )
        if backend == "nccl":
            own = torch.device("cuda", world.local_rank)
            torch.cuda.set_device(own)
        else:
            own = torch.device("cpu")
        super().__init__(world.rank, world.size, own)
        self.backend = backend
        dist.init_process_group(
            backend,
            init_method=f"tcp://{world.master_addr}:{world.master_port}",
            rank=world.rank,
            world_size=world.size,
            timeout=timedelta(seconds=timeout_s),
        )

    def all_reduce_(self, tensor: torch.Tensor) -> torch.Tensor:
        """Sum a tensor over all processes, in place; return it."""
        contiguous = tensor.contiguous()
        with self._naming_errors():
            dist.all_reduce(contiguous)
        return tensor if contiguous is tensor else tensor.copy_(contiguous)

    def broadcast_(self, tensor: torch.Tensor, root: int = 0) -> torch.Tensor:
        """Overwrite a tensor by the root's, in place; return it."""
        contiguous = tensor.contiguous()
        with self._naming_errors():
            dist.broadcast(contiguous, src=root)
        return tensor if contiguous is tensor else tensor.copy_(contiguous)

    def sync_gradients(self, model: nn.Module) -> GradientSync:
        """Wrap the model in DistributedDataParallel."""
        return WrappedGradients(model)

    def close(self) -> None:
        """Wait for the others, then leave the process group."""
        if dist.is_initialized():
            self.barrier()
            dist.destroy_process_group()

    def abort(self) -> None:
        """Drop the connections. nccl's are left to the end of the process: to take them down waits for
        peers.
        """
        if dist.is_initialized() and self.backend == "gloo":
            dist.destroy_process_group()


def _backend_for(world: World, device: str) -> str:
    if not device.startswith("cuda"):
        return "gloo"
    enough = torch.cuda.device_count() >= world.local_size
    return "nccl" if enough and dist.is_nccl_available() else "gloo"
