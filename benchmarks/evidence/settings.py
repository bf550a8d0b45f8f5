"""How large the experiments are: the full size of ``make evidence`` and a tiny one for tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple


@dataclass(frozen=True)
class PowerSize:
    """Networks without training: a random stack of ``depth`` layers, and one of this project's models."""

    images: int
    depth: int
    width: int
    resolution: int
    model: str
    model_resolution: int


@dataclass(frozen=True)
class TrainingSize:
    """Trainings: images of the train and the validation split, epochs, and peak learning rate of AdamW."""

    images: int
    test_images: int
    epochs: int
    lr: float
    global_batch: int = 32

    @property
    def updates(self) -> int:
        """Weight updates of one training."""
        return self.images // self.global_batch * self.epochs


@dataclass(frozen=True)
class Settings:
    """All sizes; ``timing_rounds`` is how often each step is timed, in turn with those it is compared with.

    ``half`` and ``native`` are resolutions in pixels; ``sweep`` those at which the half-resolution network is
    tested without fine-tuning, ``mismatched`` one next to the native one where every stride-2 layer pads
    elsewhere than at ``half``. ``progressive_sizes`` are the first and the last one, in pixels.
    """

    seeds: Tuple[int, ...]
    power: PowerSize
    micro_batch: TrainingSize
    micro_batches: Tuple[int, ...]
    group_size: TrainingSize
    group_sizes: Tuple[int, ...]
    half_resolution: TrainingSize
    half: int
    native: int
    mismatched: int
    sweep: Tuple[int, ...]
    tune_epochs: int
    tune_lr: float
    timing_rounds: int
    progressive: TrainingSize
    progressive_sizes: Tuple[int, int]


FULL = Settings(
    seeds=(0, 1, 2),
    power=PowerSize(images=32, depth=100, width=64, resolution=16, model="b4", model_resolution=96),
    micro_batch=TrainingSize(images=1024, test_images=1000, epochs=2, lr=3e-3),
    micro_batches=(2, 4, 8, 32),
    group_size=TrainingSize(images=1024, test_images=1000, epochs=2, lr=3e-3),
    group_sizes=(1, 4, 16, 64),
    half_resolution=TrainingSize(images=1024, test_images=500, epochs=8, lr=3e-3),
    half=64,
    native=96,
    mismatched=97,
    sweep=(64, 72, 80, 88, 92, 94, 95, 96, 97, 98, 100, 104, 112, 128),
    tune_epochs=2,
    tune_lr=3e-3,
    timing_rounds=9,
    progressive=TrainingSize(images=1024, test_images=500, epochs=8, lr=1.5e-3),
    progressive_sizes=(32, 64),
)
QUICK = Settings(
    seeds=(0,),
    power=PowerSize(images=4, depth=3, width=8, resolution=8, model="b0", model_resolution=64),
    micro_batch=TrainingSize(images=8, test_images=10, epochs=1, lr=3e-3, global_batch=4),
    micro_batches=(2, 4),
    group_size=TrainingSize(images=4, test_images=10, epochs=1, lr=3e-3, global_batch=4),
    group_sizes=(1, 64),
    half_resolution=TrainingSize(images=4, test_images=10, epochs=1, lr=3e-3, global_batch=4),
    half=32,
    native=64,
    mismatched=65,
    sweep=(32, 63, 64, 65),
    tune_epochs=1,
    tune_lr=3e-3,
    timing_rounds=1,
    progressive=TrainingSize(images=4, test_images=10, epochs=2, lr=1e-3, global_batch=4),
    progressive_sizes=(32, 48),
)
