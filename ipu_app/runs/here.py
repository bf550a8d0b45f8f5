"""A run settled for this machine and its images: what act one takes, looked up, and act one itself."""

from __future__ import annotations

import contextlib
from typing import Iterator, List, Mapping, Tuple

from ipu_app.build import Datasets, open_datasets
from ipu_app.config.schema import RunConfig
from ipu_app.distributed.comm import Comm
from ipu_app.distributed.connect import make_comm
from ipu_app.distributed.world import detect_world
from ipu_app.environment import read_environ
from ipu_app.runs.resumed import with_earlier_run
from ipu_app.runtime.choose import choose_device
from ipu_app.settling.data_facts import data_facts
from ipu_app.settling.machine import Machine, look_around
from ipu_app.settling.settle import Request, SettledRun, settle


@contextlib.contextmanager
def open_machine(request: Request, environ: Mapping[str, str]) -> Iterator[Tuple[Machine, Comm]]:
    """Choose the device and join the other processes of the job; both are given back at the end."""
    section, world = request.config.device, detect_world(environ)
    choice = choose_device(section.kind, section.poptorch)
    request.refuse_idle_settings(choice.kind)
    with make_comm(world, choice.kind) as comm:
        yield look_around(section, choice, comm, world=world, environ=environ), comm


def settle_with_images(request: Request, machine: Machine) -> Tuple[SettledRun, Datasets]:
    """Settle a run and return it with its first phase's images, opened; refuses what can not be done.

    It is settled without them first: what is refused anyway needs no images to be looked for.
    """
    blind = settle(request, machine)
    blind.check()
    images = open_datasets(blind.first, environ=machine.environ)
    run = settle(request, machine, data_facts(*images))
    run.check()
    return run, images


def settled_config(request: Request, *, with_images: bool) -> Tuple[RunConfig, List[str]]:
    """Return the configuration that a run would keep here, and remarks: what could not be settled, and why.

    A run for another machine, or for images that are elsewhere, is shown as far as it can be settled.
    """
    try:
        with open_machine(request, read_environ()) as (machine, comm):
            request = with_earlier_run(request, comm)
            reason = "they were not named"
            if with_images:
                try:
                    return settle_with_images(request, machine)[0].config, []
                except (ValueError, OSError) as error:
                    reason = str(error)
            return settle(request, machine).config, [f"not settled for the images: {reason}"]
    except ValueError as error:
        return request.config, [f"not settled for this machine: {error}"]
