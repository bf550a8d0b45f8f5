"""The weights and the state that a run begins with, read from where it was settled that they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Mapping, Optional

from torch import Tensor

from ipu_app.runtime.base import Weights
from ipu_app.settling.origin import Origin, find_checkpoint, run_dir_of
from ipu_app.settling.weights_file import HEAD, initial_weights
from ipu_app.training import checkpoint as checkpoints
from ipu_app.training.rundir import RunDir, read_json
from ipu_app.training.sinks import read_rows
from ipu_app.training.trainer import PhaseSession


def load_resume(resume: Optional[Path]) -> Optional[Dict[str, Any]]:
    """Return the state of a run's newest checkpoint; None for a new run.

    ``validated`` says whether the run got as far as the validation after it: checkpoints come first.
    """
    if resume is None:
        return None
    newest = find_checkpoint(resume)
    state = checkpoints.load_state(newest)
    for key in ("progress", "runtime", "average"):
        if not isinstance(state.get(key), dict):
            raise ValueError(f"{newest / checkpoints.TREE}: damaged (no {key} in it)")
    state["runtime"]["model"] = checkpoints.load_weights(newest, averaged=False)
    rows = read_rows(run_dir_of(resume).metrics)
    step = state["progress"]["step"]
    has_validation = any(row["kind"] == "val" and row["step"] == step for row in rows)
    state["validated"] = has_validation or bool(state["progress"].get("calls"))
    state["is_ended"] = _is_ended(run_dir_of(resume), step)
    return state


def _is_ended(run_dir: RunDir, step: int) -> bool:
    """Tell whether a run of so many steps got as far as its summary and report."""
    try:
        return run_dir.report.is_file() and read_json(run_dir.summary).get("steps") == step
    except (OSError, ValueError, AttributeError):
        return False


def first_weights(origin: Origin, session: PhaseSession) -> Optional[Weights]:
    """Return the weights that the first phase starts with; None where the model's own random ones do."""
    if origin.init is not None:
        own = session.runtime.weights()
        return initial_weights(origin.init, own, session.spec, reset_head=origin.reset_head, ema=origin.ema)
    if origin.run is None:
        return None
    weights = checkpoints.load_weights(find_checkpoint(origin.run), averaged=True)
    check_weights(origin, weights, session.runtime.weights())
    return weights


def check_weights(origin: Origin, weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Refuse weights of another network than ``own``, in words for the option that named them."""
    names = sorted(set(weights) | set(own))
    wrong = [n for n in names if n not in weights or n not in own or weights[n].shape != own[n].shape]
    if not wrong:
        return
    option = f"{'resume' if origin.resume else 'from'}={run_dir_of(origin.run or Path()).path}"
    if all(name.startswith(HEAD) for name in wrong):
        theirs, ours = (len(found[f"{HEAD}bias"]) for found in (weights, own))
        raise ValueError(
            f"{option}: trained on {theirs} classes, but this data has {ours}; to start with its other "
            "weights, export it and use --init FILE --reset-head"
        )
    raise ValueError(
        f"{option}: made with another network ({wrong[0]} does not fit); leave model.* as it was"
    )
