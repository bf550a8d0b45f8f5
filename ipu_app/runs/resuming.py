"""What ``--resume`` means: typed settings win, are kept and said; what can not take effect is refused."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

from ipu_app.config.convert import to_plain
from ipu_app.config.load import load_config, save_config
from ipu_app.config.schema import RunConfig
from ipu_app.runtime.base import LeftBehind
from ipu_app.training import checkpoint as checkpoints
from ipu_app.training.durable import explained_writing
from ipu_app.training.rundir import RunDir
from ipu_app.training.trainer import Progress

FLAG = "--fresh-optimizer"
LIVELY = ("model.dropout", "model.drop_connect")  # of the network, but only while it trains
FIXED = ("name",)  # a run stays in its folder


@dataclass(frozen=True)
class Change:
    """A setting that was typed over the run's own."""

    key: str
    before: Any
    now: Any

    def line(self) -> str:
        """Return one line for a person."""
        return f"changed: {self.key} {_shown(self.before)} -> {_shown(self.now)}"


def changes(before: Mapping[str, Any], now: RunConfig) -> List[Change]:
    """Return the settings that differ; ``before`` is plain data, perhaps of an old version."""
    old, new = dict(_leaves(before)), dict(_leaves(to_plain(now)))
    found = [Change(key, old[key], value) for key, value in new.items() if key in old and old[key] != value]
    return [change for change in found if not change.key.endswith(".name") or change.key == "name"]


def _leaves(tree: Mapping[str, Any], path: str = "") -> Iterator[Tuple[str, Any]]:
    for key, value in tree.items():
        name = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping):
            yield from _leaves(value, name)
        else:
            yield name, list(value) if isinstance(value, tuple) else value


def _shown(value: Any) -> str:
    return "none" if value is None else str(value)


def check_changes(
    run: Path, config: RunConfig, before: Mapping[str, Any], progress: Progress, *, fresh: bool
) -> None:
    """Refuse what can not take effect any more, by name.

    ``before`` is the configuration that the checkpoint was made with; ``fresh``: the optimiser's state is
    given up.
    """
    phases = list(config.phases)
    over = [name for place, name in enumerate(phases) if place < progress.phase]
    running = phases[progress.phase : progress.phase + 1] if progress.epoch or progress.calls else []
    for change in changes(before, config):
        key, was = change.key, _shown(change.before)
        if key in FIXED:
            raise ValueError(
                f"{key}={_shown(change.now)}: no effect with --resume: the run stays {was}; leave it out"
            )
        if key.startswith("model.") and key not in LIVELY:
            raise ValueError(
                f"resume={run}: made with another network ({key}={_shown(change.now)}: it was {was}); leave "
                "model.* as it was"
            )
        done = next((name for name in over if key.startswith(f"phases.{name}.")), None)
        if done and key != f"phases.{done}.epochs":
            raise ValueError(f"{key}={_shown(change.now)}: the phase {done} is over; it was {was}")
        shapes = [f"phases.{name}.{part}" for name in running for part in ("optimizer.kind", "trainable")]
        if key in shapes and not fresh:
            raise ValueError(
                f"{key}={_shown(change.now)}: the optimiser's state is that of {key}={was}, and can not be "
                f"taken along; {FLAG} goes on without it"
            )


def check_state(state: Mapping[str, Any], left: LeftBehind, *, fresh: bool) -> List[str]:
    """Return lines on what can not be taken along; refuse to lose what was learnt unasked."""
    if left.lost and not fresh:
        named = " and ".join(left.lost)
        raise ValueError(f"resume: {named}, can not be taken along to this device; {FLAG} goes on without it")
    lost = [f"note: left behind: {what}" for what in left.lost]
    return [
        *lost,
        *(f"note: {what} begin anew: they can not be taken along to this device" for what in left.anew),
    ]


def without_optimizer(state: Dict[str, Any]) -> Dict[str, Any]:
    """Return a state that an optimiser begins anew with."""
    return {**state, "runtime": {**state["runtime"], "optimizer": {}}}


def config_of(checkpoint: Path, run_dir: RunDir) -> Dict[str, Any]:
    """Return the configuration that a checkpoint was made with; where it does not say, the run's."""
    kept = checkpoints.load_manifest(checkpoint).get("config")
    plain: Dict[str, Any] = kept or to_plain(load_config(run_dir.config, opens_data=False))
    return plain


def keep_config(run_dir: RunDir, config: RunConfig, checkpoint: str) -> None:
    """Write ``config.yaml`` anew where it changed; the old one is kept beside, named by how far it went."""
    if to_plain(load_config(run_dir.config, opens_data=False)) == to_plain(config):
        return
    with explained_writing(f"{run_dir.config}"):
        for number in range(1, 10_000):
            kept = run_dir.path / f"config.{checkpoint}{'' if number == 1 else f'-{number}'}.yaml"
            if not kept.exists():
                shutil.copy2(str(run_dir.config), str(kept))
                break
        save_config(config, run_dir.config)


def with_missing_end(config: RunConfig, state: Optional[Dict[str, Any]]) -> Optional[Dict[str, Any]]:
    """Return the state so that a run killed in its last evaluations finishes them, from the validation on."""
    if state is None or state.get("is_ended", True):
        return state
    progress, phases = Progress(**state["progress"]), list(config.phases.values())
    is_last = progress.phase == len(phases) - 1 and progress.epoch >= phases[-1].epochs
    return {**state, "validated": False} if is_last else state
