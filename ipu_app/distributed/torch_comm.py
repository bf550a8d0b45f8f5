"""Processes that talk through torch.distributed: gloo between CPUs, nccl between GPUs."""

from __future__ import annotations

import time
import weakref
from datetime import timedelta
from typing import Any, Callable, Dict

import torch
import torch.distributed as dist
from torch import nn

from ipu_app.distributed.comm import Comm
from ipu_app.distributed.gradients import GradientSync, WrappedGradients
from ipu_app.distributed.lifeline import Lifeline
from ipu_app.distributed.meeting import meet
from ipu_app.distributed.world import World

# how long the group's threads may take to let go of the last tensors; after that the group is left to the
# end of the process, as it is where the error that ends us still holds a tensor
CLOSE_S, ABORT_S = 5.0, 0.5


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
        self._count = 0
        self._in_flight: weakref.WeakValueDictionary[int, torch.Tensor] = weakref.WeakValueDictionary()
        where: Dict[str, Any] = {"init_method": f"tcp://{world.master_addr}:{world.master_port}"}
        if not world.has_agent:
            where = {"store": meet(world)}
        with self._naming_errors():
            patience = timedelta(seconds=timeout_s)
            dist.init_process_group(
                backend, rank=world.rank, world_size=world.size, timeout=patience, **where
            )
            store = where.get("store") or dist.distributed_c10d._get_default_store()
            self._lifeline = Lifeline(store, world.rank, world.size, world.master_addr)

    def all_reduce_(self, tensor: torch.Tensor) -> torch.Tensor:
        """Sum a tensor over all processes, in place; return it."""
        return self._in_place(tensor, dist.all_reduce)

    def broadcast_(self, tensor: torch.Tensor, root: int = 0) -> torch.Tensor:
        """Overwrite a tensor by the root's, in place; return it."""
        return self._in_place(tensor, lambda sent: dist.broadcast(sent, src=root))

    def _in_place(self, tensor: torch.Tensor, collective: Callable[[torch.Tensor], Any]) -> torch.Tensor:
        """Run a collective on a view of the tensor that nobody else holds; on a copy where it has gaps."""
        sent = tensor.detach()
        if not sent.is_contiguous():
            sent = sent.contiguous()
        self._count += 1
        self._in_flight[self._count] = sent
        with self._naming_errors():
            collective(sent)
        return tensor if tensor.is_contiguous() else tensor.copy_(sent)

    def sync_gradients(self, model: nn.Module) -> GradientSync:
        """Wrap the model in DistributedDataParallel."""
        return WrappedGradients(model, naming=self._naming_errors)

    def close(self) -> None:
        """Wait for the others, then leave the process group."""
        if dist.is_initialized():
            self.barrier()
            self._lifeline.close()
            self._leave(CLOSE_S)

    def abort(self) -> None:
        """Drop the connections. nccl's are left to the end of the process: to take them down waits for
        peers.
        """
        if dist.is_initialized():
            self._lifeline.abort()
        if dist.is_initialized() and self.backend == "gloo":
            self._leave(ABORT_S)

    def _leave(self, patience_s: float) -> None:
        """Leave the process group, once its threads have let go of what they were given.

        Where they hold a tensor last, they free it, and need the interpreter's lock for that. torch 2.0 holds
        this lock while it waits for them in ``destroy_process_group``, and the process would stand still.
        """
        deadline = time.monotonic() + patience_s
        while self._in_flight and time.monotonic() < deadline:
            time.sleep(0.001)
        if not self._in_flight:
            dist.destroy_process_group()


def _backend_for(world: World, device: str) -> str:
    if not device.startswith("cuda"):
        return "gloo"
    enough = torch.cuda.device_count() >= world.local_size
    return "nccl" if enough and dist.is_nccl_available() else "gloo"
