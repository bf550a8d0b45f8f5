"""What a run is settled for: the device, the processes of the job and the memory that each of them has."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping, Optional

from ipu_app.config.schema import DeviceConfig
from ipu_app.distributed.comm import Comm
from ipu_app.distributed.world import World
from ipu_app.runtime.choose import DeviceChoice
from ipu_app.runtime.device_memory import free_memory_bytes, settle_autocast
from ipu_app.runtime.poptorch_api import PopTorchApi, load_poptorch


@dataclass(frozen=True)
class Machine:
    """Where a run takes place; the same in all processes of its job but for the rank.

    ``free_bytes``: the least free memory that a process has for itself; ``autocast``: what ``auto`` means;
    ``instances``: processes of the job; ``poptorch``: real or simulated, for IPUs; ``environ`` says where the
    cost model's tables are cached.
    """

    choice: DeviceChoice
    free_bytes: float
    autocast: str = "off"
    instances: int = 1
    world: World = field(default_factory=World)
    poptorch: Optional[PopTorchApi] = None
    environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def device(self) -> str:
        """The kind of device: ipu, cuda or cpu."""
        return self.choice.kind


def look_around(
    section: DeviceConfig, choice: DeviceChoice, comm: Comm, *, world: World, environ: Mapping[str, str]
) -> Machine:
    """Return what is here; every process of the job asks, and all of them get the same."""
    own = free_memory_bytes(choice.kind) / (world.local_size if choice.kind == "cpu" else 1)
    everyones = comm.all_sum([own if rank == comm.rank else 0.0 for rank in range(comm.size)])
    return Machine(
        choice,
        free_bytes=min(everyones),
        autocast=settle_autocast("auto", choice.kind),
        instances=comm.size,
        world=world,
        poptorch=load_poptorch(section.poptorch) if choice.kind == "ipu" else None,
        environ=environ,
    )
