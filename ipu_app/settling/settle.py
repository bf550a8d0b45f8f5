"""Act one: from what a run is asked to be, the machine and the images to what it will be.

Pure: it opens, prints and compiles nothing. ``config.yaml``, ``train --print-config``, ``train --dry-run``,
the first lines of a run and every process of a job read the same ``SettledRun``, and nobody changes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ipu_app.config.asked import Asked, refuse_without_effect
from ipu_app.config.schema import RunConfig
from ipu_app.settling.data_facts import DataFacts
from ipu_app.settling.fitting import Fitted, fit_to_images, fit_to_memory
from ipu_app.settling.machine import Machine
from ipu_app.settling.origin import Origin, unfinished_phase
from ipu_app.settling.phases import SettledPhase, settle_phase
from ipu_app.training.trainer import Progress


@dataclass(frozen=True)
class Request:
    """What a run is asked to be: its configuration, what of it is the user's own, where its weights are from.

    Settings that were typed (``asked``) are not changed to fit, and must have an effect. ``progress`` is the
    state of the checkpoint that a resumed run goes on from.
    """

    config: RunConfig
    asked: Asked = field(default_factory=lambda: Asked(batch=True))
    origin: Origin = field(default_factory=Origin)
    progress: Optional[Mapping[str, Any]] = None

    def refuse_idle_settings(self, device: str) -> None:
        """Refuse typed settings that have no effect on this kind of device."""
        refuse_without_effect(self.asked, device, self.config.device.kind)


@dataclass(frozen=True)
class SettledRun:
    """What a run will be; ``config`` is what its ``config.yaml`` holds.

    ``phases`` are those that are left to train, in order; ``notes`` say what was made to fit; ``refusals``
    why it can not be run, a line each. ``data`` None: the images were not looked at.
    """

    config: RunConfig
    machine: Machine
    origin: Origin
    phases: Mapping[str, SettledPhase]
    data: Optional[DataFacts] = None
    notes: Tuple[str, ...] = ()
    refusals: Tuple[str, ...] = ()

    @property
    def first(self) -> SettledPhase:
        """The phase that begins."""
        return next(iter(self.phases.values()))

    def check(self) -> None:
        """Raise the refusals, if there are any, as one error."""
        if self.refusals:
            raise ValueError("; ".join(self.refusals))


def settle(request: Request, machine: Machine, data: Optional[DataFacts] = None) -> SettledRun:
    """Return what a run will be on this machine, with these images; without ``data`` they fit anything.

    What can not be done is told in ``refusals``, of all phases at once.
    """
    refusals: List[str] = []
    fitted = _fit(request, machine, data)
    phases: Dict[str, SettledPhase] = {}
    for name in _left(fitted.config, request.progress):
        try:
            phase = settle_phase(fitted.config, name, machine, data)
            phases[name] = phase.at(_epoch_of(fitted.config, name, request.progress))
        except ValueError as error:
            refusals.append(str(error))
    return SettledRun(
        config=fitted.config,
        machine=machine,
        origin=request.origin,
        phases=phases,
        data=data,
        notes=fitted.lines,
        refusals=tuple(dict.fromkeys(refusals)),
    )


def _left(config: RunConfig, progress: Optional[Mapping[str, Any]]) -> List[str]:
    """Return the names of the phases that are not finished."""
    names = list(config.phases)
    return names[names.index(unfinished_phase(config, progress)) :]


def _epoch_of(config: RunConfig, name: str, state: Optional[Mapping[str, Any]]) -> int:
    """Return the epoch, from 0, in which a phase begins: of a resumed run, where it was.

    Where the epoch that ended has still to be validated, it is that one.
    """
    if state is None:
        return 0
    progress = Progress(**state["progress"])
    if list(config.phases).index(name) != progress.phase or progress.epoch == 0:
        return 0
    return progress.epoch if state.get("validated", True) else progress.epoch - 1


def _fit(request: Request, machine: Machine, data: Optional[DataFacts]) -> Fitted:
    """Fit batches to the images, then micro-batches to the memory; a resumed run keeps what it had."""
    config, lines = request.config, ()
    is_resumed = request.origin.is_resumed
    if data is not None and not (request.asked.batch or is_resumed):
        config, lines = fit_to_images(config, data.num_train, machine)
    if is_resumed and config.device.autocast != "auto":  # CPU or CUDA chose before
        return Fitted(config, lines)
    fitted = fit_to_memory(config, machine, request.asked)
    return Fitted(fitted.config, (*lines, *fitted.lines))
