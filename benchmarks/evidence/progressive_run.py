"""One progressive training on the embedded digits by the application's own stages and trainer, on the CPU."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Dict, List, Tuple

from ipu_app.config.augment import AugmentConfig
from ipu_app.config.progressive import ProgressiveConfig
from ipu_app.config.schema import (
    BatchConfig,
    DataConfig,
    EvaluateConfig,
    ModelConfig,
    OptimizerConfig,
    PhaseConfig,
    RunConfig,
    ScheduleConfig,
)
from ipu_app.distributed.comm import SingleComm
from ipu_app.distributed.world import detect_world
from ipu_app.runs.here import settle_with_images
from ipu_app.runs.sessions import Sessions
from ipu_app.runtime.choose import DeviceChoice
from ipu_app.settling.machine import Machine
from ipu_app.settling.settle import Request
from ipu_app.training.sinks import Sink
from ipu_app.training.trainer import Trainer

Range = Tuple[float, float]


@dataclass(frozen=True)
class ProgressiveCase:
    """B0 with groups of 16 and group norm; sizes in pixels, dropout and mixup's alpha from first to last.

    Equal ends of all three are an ordinary training, of the same updates.
    """

    seed: int
    sizes: Tuple[int, int]
    dropout: Range
    mixup: Range
    stages: int
    epochs: int
    images: int
    test_images: int
    lr: float
    batch: int


def measure_progressive(case: ProgressiveCase) -> Dict[str, Any]:
    """Train; return top-1 (0..1) and loss at the last size, processor seconds without validation, updates."""
    comm = SingleComm()
    machine = Machine(DeviceChoice("cpu", "asked for"), free_bytes=64e9, world=detect_world({}), environ={})
    run, images = settle_with_images(Request(_config(case)), machine)
    saved: List[int] = []
    trainer = Trainer(
        session_for=Sessions(run, comm, images),
        comm=comm,
        sink=Sink(),
        save=lambda progress, state: saved.append(progress.step),
        clock=time.process_time,
    )
    phases = {name: phase.epochs for name, phase in run.config.phases.items()}
    summary = trainer.fit(phases)
    rates = [rate for rate in summary.images_per_s.values() if rate]
    return {
        "sizes": [settled.resolution for settled in run.first.stages],
        "top1": summary.val["top1"],
        "loss": summary.val["loss"],
        "images_per_cpu_s": rates[0] if rates else 0.0,
        "train_cpu_s": summary.train_seconds,
        "updates": saved[-1],
    }


def _config(case: ProgressiveCase) -> RunConfig:
    phase = PhaseConfig(
        "train",
        epochs=case.epochs,
        resolution=case.sizes[1],
        averaging=0.0,
        batch=BatchConfig(micro=case.batch, eval_micro=50),
        optimizer=OptimizerConfig(kind="adamw", lr=case.lr, eps=1e-6, weight_decay=0.01, loss_scale=1.0),
        schedule=ScheduleConfig(kind="cosine", warmup_epochs=0.5),
        augment=AugmentConfig(preprocessing="eval", label_smoothing=0.05),
        progressive=ProgressiveConfig(
            rule="paper",
            stages=case.stages,
            resolution=case.sizes,
            dropout=case.dropout,
            mixup_alpha=case.mixup,
        ),
    )
    return RunConfig(
        seed=case.seed,
        model=ModelConfig(name="b0", group_size=16, norm="gn", drop_connect=0.0),
        data=DataConfig(limit_train=case.images, limit_val=case.test_images),
        evaluate=EvaluateConfig(every_epochs=case.epochs),
        phases={phase.name: phase},
    )
