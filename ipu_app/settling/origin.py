"""Where a training starts: from scratch, a checkpoint, another run, or other people's weights."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

from ipu_app.config.load import load_config
from ipu_app.config.schema import RunConfig
from ipu_app.training import checkpoint as checkpoints
from ipu_app.training.model_json import read_model_json
from ipu_app.training.rundir import RunDir, existing_run_dir
from ipu_app.training.trainer import Progress


@dataclass(frozen=True)
class EarlierRun:
    """What an earlier run's folder says of it: resolution of its first phase (pixels), classes, weights.

    ``notes`` are to be said: damaged checkpoints, changed settings.
    """

    trained_at: Optional[int] = None
    classes: Tuple[str, ...] = ()
    weights: str = ""
    notes: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Origin:
    """At most one of: ``resume`` a run's folder, ``from_run`` another run's, ``init`` a file of weights.

    ``settings`` are those that the file of weights brought with it, for the first lines of the run;
    ``notes`` what is to be said of it; ``ema`` whether of its weights the averaged ones are taken (None:
    where there are any). ``earlier`` is what ``read_earlier`` found of the run that is continued or built on.
    With ``fresh_optimizer`` a resumed run may leave the optimiser's state behind.
    """

    resume: Optional[Path] = None
    from_run: Optional[Path] = None
    init: Optional[Path] = None
    reset_head: bool = False
    ema: Optional[bool] = None
    settings: Tuple[str, ...] = ()
    notes: Tuple[str, ...] = ()
    earlier: EarlierRun = EarlierRun()
    fresh_optimizer: bool = False

    @property
    def is_resumed(self) -> bool:
        """Whether a run goes on in its own folder."""
        return self.resume is not None

    @property
    def run(self) -> Optional[Path]:
        """The earlier run that weights are from, if they are from one."""
        return self.resume or self.from_run


def read_earlier(origin: Origin) -> Origin:
    """Return the origin with what the folder of the earlier run says."""
    if origin.run is None:
        return origin
    run_dir, newest = run_dir_of(origin.run), find_checkpoint(origin.run)
    phases = load_config(run_dir.config, opens_data=False).phases
    described = read_model_json(run_dir.model) if run_dir.model.is_file() else {}
    earlier = EarlierRun(
        trained_at=next(iter(phases.values())).resolution,
        classes=tuple(described.get("classes", ())),
        weights=checkpoints.describe_weights(newest, averaged=True),
    )
    return replace(origin, earlier=earlier)


def locate(path: Path, names: Sequence[str] = checkpoints.ALL_FILES) -> checkpoints.Found:
    """Return the newest whole checkpoint of a run's folder, or the one that is given, once it is checked.

    Only those of ``names`` need to be whole. ValueError, which names the file, where none is.
    """
    if is_checkpoint(path):
        problem = checkpoints.damage(path, names)
        if problem:
            raise ValueError(f"checkpoint {problem}")
        return checkpoints.Found(path, ())
    found = checkpoints.newest_whole(existing_run_dir(path).checkpoints, names)
    if found is None:
        raise ValueError(f"run={path}: it has no finished checkpoint yet")
    return found


def is_checkpoint(path: Path) -> bool:
    """Tell whether this is a checkpoint's folder rather than a run's."""
    return checkpoints.is_name(path.name) and path.is_dir() and not (path / "config.yaml").is_file()


def located(origin: Origin) -> Tuple[Origin, Tuple[str, ...]]:
    """Return the origin with its run's checkpoint in place of the run, and lines on damaged ones."""
    if origin.resume is not None:
        found = locate(origin.resume)
        return replace(origin, resume=found.path), found.notes
    if origin.from_run is not None:
        found = locate(origin.from_run, (checkpoints.AVERAGED, checkpoints.WEIGHTS))
        return replace(origin, from_run=found.path), found.notes
    return origin, ()


def find_checkpoint(path: Path) -> Path:
    """Return the newest whole checkpoint of a run's folder, or the checkpoint itself where that is given."""
    return path if is_checkpoint(path) else locate(path).path


def run_dir_of(path: Path) -> RunDir:
    """Return the run's folder of a run or of one of its checkpoints."""
    return existing_run_dir(path.parent.parent if is_checkpoint(path) else path)


def origin_record(origin: Origin) -> Dict[str, Any]:
    """Return what a run's records say of where its weights came from; a resumed run's first start stays.

    ``kind`` is scratch, init (a file) or from (another run, with checkpoint and epoch); files have a SHA-256.
    """
    if origin.resume is not None:
        file = run_dir_of(origin.resume).model
        first = read_model_json(file).get("start") if file.is_file() else None
        return {**(first or {"kind": "unknown"}), "resumed": find_checkpoint(origin.resume).name}
    if origin.init is not None:
        kept = {"classifier": "new"} if origin.reset_head else {}
        return {"kind": "init", "path": str(origin.init), "sha256": _sha256(origin.init), **kept}
    if origin.from_run is not None:
        found = find_checkpoint(origin.from_run)
        return {
            "kind": "from",
            "path": str(run_dir_of(origin.from_run).path),
            "run": run_dir_of(origin.from_run).path.resolve().name,
            "checkpoint": found.name,
            "epoch": checkpoints.epoch_of(found),
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


def unfinished_phase(config: RunConfig, state: Optional[Mapping[str, Any]]) -> str:
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
