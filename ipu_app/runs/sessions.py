"""The phases of a settled run made ready, the first one early."""

from __future__ import annotations

from typing import Dict, Optional

from ipu_app import build
from ipu_app.distributed.comm import Comm
from ipu_app.settling.settle import SettledRun
from ipu_app.training.trainer import PhaseSession


class Sessions:
    """Makes phases ready; the first is opened early, so that what is wrong with it is said at once.

    ``datasets`` are its images. Only it may need random weights, and not if there are others to start with.
    """

    def __init__(self, run: SettledRun, comm: Comm, datasets: Optional[build.Datasets] = None) -> None:
        self._run, self._comm = run, comm
        initialise = run.origin.run is None
        self.first = build.make_session(run, run.first.name, comm, datasets=datasets, initialise=initialise)
        self._opened: Dict[str, PhaseSession] = {run.first.name: self.first}

    def __call__(self, name: str) -> PhaseSession:
        """Hand out the phase of this name, once."""
        if name in self._opened:
            return self._opened.pop(name)
        return build.make_session(self._run, name, self._comm, initialise=False)
