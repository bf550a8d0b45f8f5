"""A by short trainings of every candidate, made narrower and smaller, through the project's own trainer.

It ranks what small networks learn on the data at hand, not what large ones learn of ImageNet. A candidate is
trained for a few epochs, then anew for more while it is among the better ones (successive halving); those
that finish can be repeated under other seeds, which shows the noise of the ranking.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, List, Optional, Sequence, Tuple

from ipu_app.models.choices import departures
from ipu_app.models.spec import EfficientNetSpec
from ipu_app.search.accuracy import Pruned, Report, Unknown
from ipu_app.search.space import network_key


@dataclass(frozen=True)
class ShortTrainings:
    """How candidates are trained: epochs of each rung, factors of width and resolution, images, device.

    ``smallest`` is the smallest training resolution of the search, in pixels: it is trained at
    ``resolution``, larger ones in proportion. ``train_verb`` runs ``train``.
    """

    folder: Path
    smallest: int
    train_verb: Callable[[Sequence[str]], int]
    rungs: Tuple[int, ...] = (2, 6)
    width: float = 0.25
    resolution: int = 32
    images: int = 400
    data: Optional[str] = None
    device: str = "cpu"
    column: str = "short-training top-1 % (proxy)"

    @property
    def label(self) -> str:
        """What A is, in words."""
        return (
            f"proxy: short trainings on {self.data or 'the embedded digits'} ({self.images} images, up to "
            f"{self.rungs[-1]} epochs), width x {self.width:g}, {self.smallest} px made {self.resolution} px"
        )

    def of(self, spec: EfficientNetSpec, report: Report) -> float:
        """Return the top-1 after the last rung; raises Pruned where ``report`` says so before it."""
        value = 0.0
        for rung, epochs in enumerate(self.rungs):
            value = self.train(spec, epochs, seed=0)
            if report(value, rung) and rung + 1 < len(self.rungs):
                raise Pruned(value)
        return value

    def repeat(self, spec: EfficientNetSpec, seeds: Sequence[int]) -> List[float]:
        """Return the top-1 of a whole training under each seed."""
        return [self.train(spec, self.rungs[-1], seed=seed) for seed in seeds]

    def train(self, spec: EfficientNetSpec, epochs: int, *, seed: int) -> float:
        """Train a candidate, small, and return its validation top-1 in per cent."""
        name = f"{network_key(spec)}-{epochs}-{seed}"
        shutil.rmtree(self.folder / name, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "trainings.log").open("a", encoding="utf-8") as log, contextlib.redirect_stdout(
            log
        ), contextlib.redirect_stderr(log):
            code = self.train_verb([*self.words(spec, epochs, seed), "--name", name])
        if code != 0:
            raise Unknown(
                f"its short training ended with exit code {code}; see {self.folder / 'trainings.log'}"
            )
        summary = json.loads((self.folder / name / "summary.json").read_text(encoding="utf-8"))
        shutil.rmtree(self.folder / name, ignore_errors=True)
        return 100 * float(summary["val_top1"])

    def words(self, spec: EfficientNetSpec, epochs: int, seed: int) -> List[str]:
        """Return the arguments of ``train`` for a candidate."""
        resolution = max(32, round(self.resolution * spec.native_resolution / self.smallest))
        settings = {f"model.{key}": value for key, value in departures(spec).items()}
        settings["model.width_scale"] = self.width * float(settings.get("model.width_scale", 1.0))
        settings.update(
            {
                "model.expand_ratio": spec.expand_ratio,
                "data.limit_train": self.images,
                "runs_dir": f"'{self.folder}'",
                "evaluate.every_epochs": epochs,
                "tracking.logs_per_epoch": 1,
            }
        )
        if self.device == "cpu":
            settings["device.threads"] = (
                1  # networks so small gain nothing from more; run two searches instead
            )
        if self.device == "ipu":
            settings["phases[0].pipeline.splits"] = "[]"  # other networks have other blocks
        flags = ["--model", spec.name, "--group", str(spec.group_size), "--norm", spec.norm]
        flags += ["--res", str(resolution), "--epochs", str(epochs), "--seed", str(seed)]
        flags += ["--device", self.device, *(["--data", self.data] if self.data else [])]
        for key, value in settings.items():
            flags += ["--set", f"{key}={value}"]
        return flags
