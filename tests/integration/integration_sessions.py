"""A phase of a configuration made ready, as the runs of the tests are: settled, opened, built."""

from __future__ import annotations

from typing import Mapping, Optional

from ipu_app.build import make_session
from ipu_app.config.schema import RunConfig
from ipu_app.distributed.comm import Comm, SingleComm
from ipu_app.distributed.world import detect_world
from ipu_app.runs.here import settle_with_images
from ipu_app.runtime.choose import DeviceChoice
from ipu_app.runtime.poptorch_api import load_poptorch
from ipu_app.settling.machine import Machine
from ipu_app.settling.settle import Request
from ipu_app.training.trainer import PhaseSession


def make_machine(device: str, instances: int = 1, environ: Optional[Mapping[str, str]] = None) -> Machine:
    return Machine(
        DeviceChoice(device, "asked for"),
        free_bytes=64e9,
        instances=instances,
        world=detect_world(environ or {}),
        poptorch=load_poptorch("sim") if device == "ipu" else None,
        environ=environ or {},
    )


def open_session(
    config: RunConfig,
    name: str,
    device: str,
    *,
    comm: Optional[Comm] = None,
    environ: Optional[Mapping[str, str]] = None,
) -> PhaseSession:
    comm = comm or SingleComm()
    run, _ = settle_with_images(Request(config), make_machine(device, comm.size, environ))
    return make_session(run, name, comm)
