"""Where a training starts: from scratch, a checkpoint, another run, or other people's weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

from ipu_app.config.schema import RunConfig
from ipu_app.initial import initial_weights
from ipu_app.runtime.base import Weights
from ipu_app.training import checkpoint as checkpoints
from ipu_app.training.rundir import RunDir, existing_run_dir
from ipu_app.training.trainer import PhaseSession, Progress


@dataclass(frozen=True)
class Start:
    """At most one of: ``resume`` a run's folder, ``from_run`` another run's, ``init`` a file of weights.

    ``settings`` are those that the file of weights brought with it, for the first lines of the run.
    """

    resume: Optional[Path] = None
    from_run: Optional[Path] = None
    init: Optional[Path] = None
    reset_head: bool = False
    settings: Tuple[str, ...] = ()


def find_checkpoint(path: Path) -> Path:
    """Return the newest checkpoint of a run's folder, or the checkpoint itself where that is given."""
    if (path / "state.json").is_file():
        return path
    newest = checkpoints.newest_checkpoint(existing_run_dir(path).checkpoints)
    if newest is None:
        raise ValueError(f"run={path}: it has no finished checkpoint yet")
    return newest


def run_dir_of(path: Path) -> RunDir:
    """Return the run's folder of a run or of one of its checkpoints."""
    return existing_run_dir(path.parent.parent if (path / "state.json").is_file() else path)


def load_resume(resume: Optional[Path]) -> Optional[Dict[str, Any]]:
    """Return the state of a run's newest checkpoint; None for a new run."""
    if resume is None:
        return None
    newest = find_checkpoint(resume)
    state = checkpoints.load_state(newest)
    state["runtime"]["model"] = checkpoints.load_weights(newest, averaged=False)
    return state


def unfinished_phase(config: RunConfig, state: Optional[Dict[str, Any]]) -> str:
    """Return the name of the first phase that is not finished; refuse a run with nothing left to do."""
    phases = list(config.phases.values())
    progress = Progress(**state["progress"]) if state else Progress()
    for index, phase in enumerate(phases):
        if index > progress.phase or (index == progress.phase and progress.epoch < phase.epochs):
            return phase.name
    raise ValueError(
        f"resume: all {progress.total_epochs} epochs are done; raise phases.{phases[-1].name}.epochs "
        "to train on"
    )


def start_weights(start: Start, session: PhaseSession) -> Optional[Weights]:
    """Return the weights that the first phase starts with; None where the model's own random ones do."""
    if start.init is not None:
        own = session.runtime.weights()
        return initial_weights(start.init, own, session.spec, reset_head=start.reset_head)
    source = start.resume or start.from_run
    if source is None:
        return None
    return checkpoints.load_weights(find_checkpoint(source), averaged=True)
