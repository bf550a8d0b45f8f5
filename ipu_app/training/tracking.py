"""Trackers that are asked for: Weights & Biases and TensorBoard. The only file that imports either."""

from __future__ import annotations

import importlib.util
import secrets
from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple

from torch import Tensor

from ipu_app.training.rundir import RunDir, read_json, write_json
from ipu_app.training.sinks import Row, Sink

WANDB_HOST = "api.wandb.ai"
NOT_SERIES = ("kind", "phase", "averaged", "epoch", "step", "resolution")


def check_packages(*, wandb: bool, tensorboard: bool) -> None:
    """Refuse a tracker whose package is not installed."""
    for key, wanted in (("wandb", wandb), ("tensorboard", tensorboard)):
        if wanted and importlib.util.find_spec(key) is None:
            raise ValueError(
                f"tracking.{key}=true: the package {key} is not installed: pip install -r "
                "requirements-tracking.txt"
            )


def row_values(row: Row) -> Dict[str, float]:
    """Return the numbers of a row by the names that trackers show, like ``train/loss``."""
    group = row["kind"] if row["kind"] != "evaluate" else f"evaluate {row['resolution']} px"
    numbers = {key: value for key, value in row.items() if key not in NOT_SERIES and value is not None}
    return {f"{group}/{key}": value for key, value in numbers.items()}


def has_wandb_key(environ: Mapping[str, str]) -> bool:
    """Tell whether Weights & Biases would find a key: in the environment or in ``~/.netrc``."""
    if environ.get("WANDB_API_KEY"):
        return True
    file = Path(environ.get("NETRC") or Path(environ.get("HOME", "~")).expanduser() / ".netrc")
    return file.is_file() and WANDB_HOST in file.read_text(encoding="utf-8", errors="replace")


def wandb_run_id(run_dir: RunDir) -> str:
    """Return the run's id, the same whenever the run is resumed."""
    if run_dir.tracking.is_file():
        return str(read_json(run_dir.tracking)["wandb_id"])
    made = secrets.token_hex(4)
    write_json(run_dir.tracking, {"wandb_id": made})
    return made


class WandbSink(Sink):
    """Weights & Biases; offline where there is no key (``wandb sync`` uploads such a run later).

    Series are drawn over ``step`` as logged, not over calls, so that a resumed run continues its curves.
    """

    def __init__(self, run_dir: RunDir, *, project: str, environ: Mapping[str, str]) -> None:
        import wandb

        mode = environ.get("WANDB_MODE") or ("online" if has_wandb_key(environ) else "offline")
        self._wandb = wandb
        self.notes: Tuple[str, ...] = ()
        if mode == "offline":
            self.notes = (f"wandb: offline; upload with: wandb sync {run_dir.path}/wandb/offline-run-*",)
        self.run = wandb.init(
            project=project,
            name=run_dir.path.name,
            id=wandb_run_id(run_dir),
            resume="allow",
            dir=str(run_dir.path),
            mode=mode,
            settings=wandb.Settings(console="off", silent=True),
        )
        self.run.define_metric("*", step_metric="step")

    def start(self, facts: Mapping[str, Any]) -> None:
        """Log the configuration, the plan's estimate, the machine."""
        self.run.config.update(dict(facts), allow_val_change=True)

    def images(self, name: str, images: Tensor) -> None:
        """Log sample images."""
        pictures = [self._wandb.Image(image.permute(1, 2, 0).numpy()) for image in images]
        self.run.log({name: pictures})

    def row(self, row: Row) -> None:
        """Log one row."""
        self.run.log({**row_values(row), "step": row["step"], "epoch": row["epoch"]})

    def close(self, summary: Mapping[str, Any]) -> None:
        """Log the summary and end the run."""
        self.run.summary.update(dict(summary))
        self.run.finish()

    def stop(self) -> None:
        """End the run as one that failed."""
        self.run.finish(exit_code=1)


class TensorboardSink(Sink):
    """Event files for TensorBoard, in the run's folder."""

    def __init__(self, run_dir: RunDir) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(log_dir=str(run_dir.path / "tensorboard"))

    def start(self, facts: Mapping[str, Any]) -> None:
        """Write the facts as text."""
        for group, values in facts.items():
            self._writer.add_text(group, "\n".join(f"    {line}" for line in _lines(values)))

    def images(self, name: str, images: Tensor) -> None:
        """Write sample images."""
        self._writer.add_images(name, images)

    def row(self, row: Row) -> None:
        """Write one row."""
        for name, value in row_values(row).items():
            self._writer.add_scalar(name, value, global_step=row["step"])

    def close(self, summary: Mapping[str, Any]) -> None:
        """Write what is left."""
        self._writer.close()

    def stop(self) -> None:
        """Write what is left."""
        self._writer.close()


def _lines(values: Any, indent: str = "") -> List[str]:
    if not isinstance(values, Mapping):
        return [f"{indent}{values}"]
    lines: List[str] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            lines += [f"{indent}{key}:", *_lines(value, indent + "  ")]
        else:
            lines.append(f"{indent}{key}: {value}")
    return lines
