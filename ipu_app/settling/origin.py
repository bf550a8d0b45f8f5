"""Where a training starts: from scratch, a checkpoint, another run, or other people's weights."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

from ipu_app.config.schema import RunConfig
from ipu_app.runtime.base import Weights
from ipu_app.settling.weights_file import initial_weights
from ipu_app.training import checkpoint as checkpoints
from ipu_app.training.rundir import RunDir, existing_run_dir, read_json
from ipu_app.training.sinks import read_rows
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


def start_record(start: Start) -> Dict[str, Any]:
    """Return what a run's records say of where its weights came from; a resumed run's first start stays.

    ``kind`` is scratch, init (a file) or from (another run, with checkpoint and epoch); files have a SHA-256.
    """
    if start.resume is not None:
        file = run_dir_of(start.resume).model
        first = read_json(file).get("start") if file.is_file() else None
        return {**(first or {"kind": "unknown"}), "resumed": find_checkpoint(start.resume).name}
    if start.init is not None:
        kept = {"classifier": "new"} if start.reset_head else {}
        return {"kind": "init", "path": str(start.init), "sha256": _sha256(start.init), **kept}
    if start.from_run is not None:
        found = find_checkpoint(start.from_run)
        return {
            "kind": "from",
            "path": str(start.from_run),
            "run": run_dir_of(start.from_run).path.resolve().name,
            "checkpoint": found.name,
            "epoch": int(checkpoints.load_state(found)["progress"]["total_epochs"]),
            "weights": checkpoints.describe_weights(found, averaged=True),
            "sha256": _sha256(found / "averaged.safetensors"),
        }
    return {"kind": "scratch"}


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        for piece in iter(lambda: stream.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()


def load_resume(resume: Optional[Path]) -> Optional[Dict[str, Any]]:
    """Return the state of a run's newest checkpoint; None for a new run.

    ``validated`` says whether the run got as far as the validation after it: checkpoints come first.
    """
    if resume is None:
        return None
    newest = find_checkpoint(resume)
    state = checkpoints.load_state(newest)
    state["runtime"]["model"] = checkpoints.load_weights(newest, averaged=False)
    rows = read_rows(run_dir_of(resume).metrics)
    state["validated"] = any(r["kind"] == "val" and r["step"] == state["progress"]["step"] for r in rows)
    return state


def unfinished_phase(config: RunConfig, state: Optional[Dict[str, Any]]) -> str:
    """Return the name of the first phase that is not finished; refuse a run with nothing left to do."""
    phases = list(config.phases.values())
    progress = Progress(**state["progress"]) if state else Progress()
    is_validated = state is None or state.get("validated", True)
    for index, phase in enumerate(phases):
        is_current = index == progress.phase
        if index > progress.phase or (is_current and (progress.epoch < phase.epochs or not is_validated)):
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
