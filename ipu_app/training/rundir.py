"""What a run leaves: ``runs/<name>/`` with configuration, metrics, curves, checkpoints and summary."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Mapping

from ipu_app.training.durable import write_text
from pipelines import door
from pipelines.door import to_json


@dataclass(frozen=True)
class RunDir:
    """The paths of one run."""

    path: Path

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def model(self) -> Path:
        """The network's description and the class names."""
        return self.path / "model.json"

    @property
    def metrics(self) -> Path:
        """One JSON row per report and per validation."""
        return self.path / "metrics.jsonl"

    @property
    def curves(self) -> Path:
        """The picture of the run."""
        return self.path / "curves.png"

    @property
    def report(self) -> Path:
        """The run on one self-contained page; written when it ends."""
        return self.path / "report.html"

    @property
    def plan_picture(self) -> Path:
        """The pipeline plan by the cost model, for runs on IPUs."""
        return self.path / "plan.png"

    @property
    def tracking(self) -> Path:
        """What trackers need to recognise the run when it is resumed."""
        return self.path / "tracking.json"

    @property
    def checkpoints(self) -> Path:
        """Folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def summary(self) -> Path:
        """What the run came to; written when it ends."""
        return self.path / "summary.json"


def new_run_dir(parent: Path, name: str) -> RunDir:
    """Make a folder that was not there: ``name``, or ``name-2``, ``name-3``, ..."""
    for number in range(1, 10_000):
        path = parent / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        return RunDir(path)
    raise ValueError(f"runs_dir={parent}: holds {number} runs named {name} already; choose another name")


def existing_run_dir(path: Path) -> RunDir:
    """Return a run's folder; refuse one without a configuration."""
    run_dir = RunDir(path)
    if not run_dir.config.is_file():
        raise ValueError(
            f"run={path}: no config.yaml there; give the folder of a run, like runs/b0-g16-ln_pn-digits"
        )
    return run_dir


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write JSON beside and move it into place, so that a reader never sees half of it."""
    write_text(path, to_json(data, indent=2) + "\n")


def read_json(path: Path) -> Dict[str, Any]:
    """Return the data of a JSON file that holds an object; BadFile names what is wrong with it."""
    data: Dict[str, Any] = door.read_json(path, door.record({}))
    return data
