"""An earlier run that goes on, or that another builds on: found, checked, locked before anything is built."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple

from ipu_app.config.convert import to_plain
from ipu_app.config.load import load_config
from ipu_app.config.schema import RunConfig
from ipu_app.distributed.comm import Comm
from ipu_app.runs.first_weights import load_resume
from ipu_app.runs.lock import locked
from ipu_app.runs.resuming import (
    changes,
    check_changes,
    check_state,
    config_of,
    with_missing_end,
    without_optimizer,
)
from ipu_app.settling.origin import Origin, located, read_earlier, run_dir_of
from ipu_app.settling.settle import Request
from ipu_app.training import checkpoint as checkpoints
from ipu_app.training.sinks import damaged_lines
from ipu_app.training.trainer import PhaseSession, Progress


@contextlib.contextmanager
def held(origin: Origin, comm: Comm, say: Callable[[str], None]) -> Iterator[None]:
    """Lock the run that goes on, and clear away what dead processes have left in it; the root does."""
    if origin.resume is None or not comm.is_root:
        yield
        return
    run_dir = run_dir_of(origin.resume)
    with locked(run_dir.path, say):
        for folder in (run_dir.path, run_dir.checkpoints):
            checkpoints.remove_drafts(folder)
        yield


def with_earlier_run(request: Request, comm: Comm) -> Request:
    """Return the request with what the earlier run left that it continues or builds on.

    A run that goes on does from its newest whole checkpoint; settings that can not take effect are refused.
    The root looks for it, the other processes are told.
    """
    origin, notes = _located_by_root(request.origin, comm)
    origin, state = read_earlier(origin), with_missing_end(request.config, load_resume(origin.resume))
    if origin.resume is not None and state is not None:
        state, lines = _with_settings(state, request.config, origin.resume, fresh=origin.fresh_optimizer)
        notes = (*notes, *lines)
    earlier = replace(origin.earlier, notes=notes)
    return replace(request, origin=replace(origin, earlier=earlier), progress=state)


def _with_settings(
    state: Dict[str, Any], config: RunConfig, checkpoint: Path, *, fresh: bool
) -> Tuple[Dict[str, Any], List[str]]:
    """Return the state as far as the settings of now can go on with it, and lines on what changed."""
    run_dir = run_dir_of(checkpoint)
    before = config_of(checkpoint, run_dir)
    check_changes(run_dir.path, config, before, Progress(**state["progress"]), fresh=fresh)
    typed = changes(to_plain(load_config(run_dir.config, opens_data=False)), config)
    if any(change.key.endswith((".optimizer.kind", ".trainable")) for change in changes(before, config)):
        state = without_optimizer(state)
    damaged = damaged_lines(run_dir.metrics)
    lost = [f"warning: {run_dir.metrics}: {damaged} damaged lines are left out"] if damaged else []
    return state, [*lost, *(change.line() for change in typed)]


def _located_by_root(origin: Origin, comm: Comm) -> Tuple[Origin, Tuple[str, ...]]:
    found, notes = located(origin) if comm.is_root else (origin, ())
    paths = {"resume": str(found.resume or ""), "from_run": str(found.from_run or "")}
    told = comm.broadcast_state(paths) if comm.size > 1 else paths
    chosen = {key: Path(path) if path else None for key, path in told.items()}
    return replace(origin, **chosen), notes  # type: ignore[arg-type]


def take_along(
    state: Optional[Mapping[str, Any]], session: PhaseSession, *, fresh: bool
) -> Tuple[Optional[Dict[str, Any]], List[str]]:
    """Return a saved state as far as the phase that goes on can take it up, and lines on the rest."""
    if state is None:
        return None, []
    state = dict(state)
    if not state["progress"]["epoch"] and not state["progress"].get("calls"):
        return state, []  # a phase that begins takes the weights only
    left = session.runtime.left_behind(state["runtime"])
    lines = check_state(state, left, fresh=fresh)
    if left.lost:
        state = without_optimizer(state)
    return state, lines
