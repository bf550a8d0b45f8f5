"""Where a training starts: from scratch, a checkpoint, another run, or other people's weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Optional

from ipu_app.config.schema import RunConfig
from ipu_app.runtime.base import Weights
from ipu_app.training import checkpoint as checkpoints
from ipu_app.training.rundir import RunDir, existing_run_dir
from ipu_app.training.trainer import PhaseSession, Progress


@dataclass(frozen=True)
class Start:
    """At most one of: ``resume`` a run's folder, ``from_run`` another run's, ``init`` a file of weights."""

    resume: Optional[Path] = None
    from_run: Optional[Path] = None
    init: Optional[Path] = None
    reset_head: bool = False


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
        return _imported(start.init, session.runtime.weights(), session, reset_head=start.reset_head)
    source = start.resume or start.from_run
    if source is None:
        return None
    return checkpoints.load_weights(find_checkpoint(source), averaged=True)


def _imported(file: Path, own: Weights, session: PhaseSession, *, reset_head: bool) -> Weights:
    """Read weights of ours, torchvision's or timm's, in safetensors or as a torch state dict."""
    from ipu_app.models.efficientnet import EfficientNet
    from ipu_app.models.weights import load_weights

    model = EfficientNet(session.spec)
    model.load_state_dict(own)
    load_weights(model, read_state_dict(file), reset_head=reset_head)
    return dict(model.state_dict())


def read_state_dict(file: Path) -> Weights:
    """Return the tensors of a weights file; refuses anything that is not a plain state dict."""
    if not file.is_file():
        raise ValueError(f"init={file}: no such file")
    if file.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            weights: Weights = load_file(str(file))
        except SafetensorError as error:
            raise ValueError(f"init={file}: not a safetensors file ({error})") from error
        return weights
    return _read_torch_file(file)


def _read_torch_file(file: Path) -> Weights:
    import pickle

    import torch

    try:
        state = torch.load(str(file), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(f"init={file}: not a file of plain weights ({type(error).__name__})") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ValueError(f"init={file}: must hold a state dict, that is names and tensors")
    return state
