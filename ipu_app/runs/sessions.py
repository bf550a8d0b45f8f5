"""The phases of a run made ready: with batches that fit the memory and the images, the first one early."""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple

from ipu_app import build
from ipu_app.config.asked import Asked
from ipu_app.config.batches import TooFewImages
from ipu_app.config.schema import PhaseConfig, RunConfig
from ipu_app.distributed.world import detect_world
from ipu_app.runs.lines import plan_lines
from ipu_app.runs.records import Place
from ipu_app.settling.fitting import fit_to_images, fit_to_memory, free_bytes_everywhere
from ipu_app.settling.origin import Start
from ipu_app.settling.phase_estimates import estimate_phase
from ipu_app.training.trainer import PhaseSession
from pipelines.estimate import StepEstimate


class Sessions:
    """Makes phases ready; the first is opened early, so that what is wrong with it is said at once.

    Only the first may need random weights, and not if there are others to start with (``has_weights``).
    """

    first: PhaseSession

    def __init__(self, config: RunConfig, place: Place, *, has_weights: bool) -> None:
        self.config, self._place, self._has_weights = config, place, has_weights
        self._opened: Dict[str, PhaseSession] = {}

    def open(self, name: str) -> PhaseSession:
        """Make a phase ready and keep it until it is asked for."""
        self.first = self._opened[name] = self._make(name, initialise=not self._has_weights)
        return self.first

    def close(self) -> None:
        """Give back what opened phases hold."""
        for session in self._opened.values():
            session.runtime.close()

    def __call__(self, name: str) -> PhaseSession:
        """Hand out the phase of this name, once."""
        if name in self._opened:
            return self._opened.pop(name)
        return self._make(name, initialise=False)

    def _make(self, name: str, *, initialise: bool) -> PhaseSession:
        config, place = self.config, self._place
        return build.make_session(
            config,
            config.phases[name],
            place.device,
            environ=place.environ,
            comm=place.comm,
            initialise=initialise,
        )


def open_sessions(
    config: RunConfig, place: Place, name: str, start: Start, asked: Asked
) -> Tuple[Sessions, List[str]]:
    """Open the phase of that name, with micro-batches that fit the memory and batches that fit the images.

    A continued run takes what its first start chose. Returns also what to tell the user.
    """
    estimate = estimate_of(config, config.phases[name], place)
    if estimate:
        plan_lines(config, estimate)  # a plan is refused before the data are read
    sessions, lines = _fitting_sessions(config, place, start, asked)
    keeps_batch = asked.batch or start.resume is not None
    try:
        num_images = len(sessions.open(name).train_set)
    except TooFewImages as found:
        if keeps_batch:
            raise
        num_images = found.num_images
    fitted = fit_to_images(config, num_images, instances=place.comm.size, device=place.device)
    if keeps_batch or not fitted.lines:
        return sessions, lines
    sessions.close()
    sessions, lines = _fitting_sessions(fitted.config, place, start, asked)
    sessions.open(name)
    return sessions, [*fitted.lines, *lines]


def _fitting_sessions(
    config: RunConfig, place: Place, start: Start, asked: Asked
) -> Tuple[Sessions, List[str]]:
    """Return the phases, not opened yet, with micro-batches that fit the device's memory."""
    lines: List[str] = []
    if start.resume is None or config.device.autocast == "auto":  # else CPU or CUDA chose before
        local_size = detect_world(place.environ).local_size
        free_bytes = free_bytes_everywhere(place.device, place.comm, local_size)
        fitted = fit_to_memory(config, place.device, free_bytes, asked, place.comm)
        config, lines = fitted.config, list(fitted.lines)
    return Sessions(config, place, has_weights=bool(start.resume or start.from_run)), lines


def estimate_of(config: RunConfig, phase: PhaseConfig, place: Place) -> Optional[StepEstimate]:
    """Estimate the plan of a phase, where it runs on IPUs."""
    if place.device != "ipu":
        return None
    return estimate_phase(
        config.model,
        phase,
        platform=config.device.platform,
        environ=place.environ,
        instances=place.comm.size,
    )
