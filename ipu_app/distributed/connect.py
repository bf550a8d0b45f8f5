"""Which of the implementations of ``Comm`` connects this process to its job."""

from __future__ import annotations

import importlib.util

from ipu_app.distributed.comm import DEFAULT_TIMEOUT_S, Comm, SingleComm
from ipu_app.distributed.horovod_comm import HorovodComm
from ipu_app.distributed.torch_comm import TorchComm
from ipu_app.distributed.world import World

BACKENDS = ("auto", "single", "torch", "horovod")


def make_comm(
    world: World, device: str = "cpu", *, backend: str = "auto", timeout_s: float = DEFAULT_TIMEOUT_S
) -> Comm:
    """Connect this process to its job.

    ``device`` is what the model runs on: "cuda..." takes nccl where every process has a GPU of its own, all
    else gloo. ``backend`` "auto": nothing for one process; Horovod under horovodrun, and under PopRun and
    mpirun where it is installed; else torch.distributed. A collective that waits longer than ``timeout_s``
    seconds fails.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend={backend!r}: choose one of {list(BACKENDS)}")
    chosen = _choose_backend(world) if backend == "auto" else backend
    if chosen == "single":
        if world.is_distributed:
            raise ValueError(f"backend='single': {world.launcher} started {world.size} processes")
        return SingleComm()
    if chosen == "horovod":
        return HorovodComm(world, device)
    return TorchComm(world, device, timeout_s=timeout_s)


def _choose_backend(world: World) -> str:
    if world.launcher == "horovodrun":
        return "horovod"
    if not world.is_distributed:
        return "single"
    if world.launcher in ("poprun", "mpirun") and importlib.util.find_spec("horovod") is not None:
        return "horovod"
    return "torch"
