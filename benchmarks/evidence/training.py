"""One short training on the embedded digits through the application's own runtime, data and schedule.

The images come with a Python package (see ``ipu_app.data.embedded``); nothing is mixed or dropped, and the
optimiser and its schedule are the quick ones of ``configs/demo.yaml``, the same for all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from torch import Tensor

from ipu_app import build
from ipu_app.config.schema import (
    AugmentConfig,
    BatchConfig,
    DataConfig,
    OptimizerConfig,
    PhaseConfig,
    RunConfig,
    ScheduleConfig,
)
from ipu_app.data.datasets import ImageDataset
from ipu_app.data.sampling import InstanceSampler
from ipu_app.models.spec import SECTIONS, EfficientNetSpec, make_spec
from ipu_app.runtime.base import Runtime, StepKnobs
from ipu_app.settling.phase_batches import make_geometries
from ipu_app.settling.phases import make_optimizer_spec

Weights = Dict[str, Tensor]
EVAL_BATCH = 50


@dataclass(frozen=True)
class Stretch:
    """One phase of a training: so many epochs at one resolution, learning from block ``trainable`` on.

    ``tests`` are the resolutions at which the validation images are then classified. ``after`` counts the
    stretch whose weights it starts from (0: the first one); None is a fresh network. ``augment`` is only for
    images that are treated as photographs.
    """

    epochs: int
    resolution: int
    lr: float
    tests: Tuple[int, ...]
    trainable: str = "all"
    warmup_epochs: float = 0.5
    after: Optional[int] = None
    augment: bool = False


@dataclass(frozen=True)
class TrainingCase:
    """One training: ``net`` names a function of ``NETS``, ``options`` are its arguments.

    ``as_photos``: the digits are treated as the paper's photographs are, random resized crops in augmented
    training and a centre crop else; otherwise they are resized whole.
    """

    net: str
    options: Mapping[str, Any]
    seed: int
    stretches: Tuple[Stretch, ...]
    images: int
    test_images: int
    micro_batch: int = 32
    global_batch: int = 32
    as_photos: bool = False

    @property
    def spec(self) -> EfficientNetSpec:
        """The network's spec."""
        return NETS[self.net](**self.options)

    @property
    def steps_per_epoch(self) -> int:
        """Weight updates in an epoch."""
        return self.images // self.global_batch


def short_net(norm: str, *, strides: Sequence[int], width: float = 1.0) -> EfficientNetSpec:
    """B0 with one block per section, groups of 16 and ratio 4; ``strides`` are the sections'."""
    sections = tuple(replace(section, repeats=1, stride=s) for section, s in zip(SECTIONS, strides))
    spec = make_spec("b0", group_size=16, norm=norm, num_classes=10, **_QUIET)
    return replace(spec, sections=sections, width=width, top_width=512)


def wide_net(group_size: int) -> EfficientNetSpec:
    """Three blocks of 64 channels and four of 192, at the ratio that keeps the multiply-adds.

    Wide enough for groups of 64; the numbers of blocks are those at which the paper's ratios, 6 for groups
    of 1 and 4 for groups of 16, cost the same.
    """
    shape = SECTIONS[0]
    sections = (
        replace(shape, repeats=3, in_width=32, out_width=64, stride=2, expands=True),
        replace(shape, repeats=4, in_width=64, out_width=192, stride=2, expands=True),
    )
    spec = make_spec("b0", norm="gn", num_classes=10, **_QUIET)
    ratio = EQUAL_COST_RATIOS[group_size]
    return replace(spec, group_size=group_size, expand_ratio=ratio, sections=sections, top_width=384)


# Short trainings are not regularised, and moving averages must keep up with them
_QUIET: Dict[str, Any] = {"dropout": 0.0, "drop_connect": 0.0, "bn_momentum": 0.1}
EQUAL_COST_RATIOS = {1: 6.0, 4: 5.5, 16: 4.0, 64: 2.0}
NETS = {"short": short_net, "wide": wide_net}


def train(case: TrainingCase) -> List[Dict[str, Any]]:
    """Train; return each stretch's mean training losses by epoch, and its tests (top-1: 0..1)."""
    found: List[Dict[str, Any]] = []
    ends: List[Weights] = []
    for stretch in case.stretches:
        config = _config(case, stretch)
        runtime = make_runtime(case, stretch)
        if stretch.after is not None:
            runtime.load_state_dict({"model": ends[stretch.after]})
        losses = _run(runtime, case, stretch, config)
        ends.append(runtime.weights())
        runtime.load_eval_weights(ends[-1])
        tests = [_test(runtime, case, config, resolution) for resolution in stretch.tests]
        found.append({"resolution": stretch.resolution, "train_losses": losses, "tests": tests})
        runtime.close()
    return found


def make_runtime(case: TrainingCase, stretch: Stretch) -> Runtime:
    """Return the CPU runtime of a stretch, its network freshly initialised from the case's seed."""
    config = _config(case, stretch)
    phase = config.phases["train"]
    geometries = make_geometries(phase, "cpu", instances=1)
    return build.make_runtime("cpu", config, phase, build.make_parts(config, phase, case.spec, geometries))


def _config(case: TrainingCase, stretch: Stretch) -> RunConfig:
    """The stretch as a run of the application; the network is the case's own, not ``model``."""
    batch = BatchConfig(
        micro=case.micro_batch,
        accumulation=case.global_batch // case.micro_batch,
        eval_micro=EVAL_BATCH,
    )
    phase = PhaseConfig(
        "train",
        epochs=stretch.epochs,
        resolution=stretch.resolution,
        trainable=stretch.trainable,
        averaging=0.0,
        batch=batch,
        optimizer=OptimizerConfig(kind="adamw", lr=stretch.lr, eps=1e-6, loss_scale=1.0),
        schedule=ScheduleConfig(kind="cosine", warmup_epochs=stretch.warmup_epochs),
        augment=AugmentConfig(preprocessing="train" if stretch.augment else "eval", label_smoothing=0.05),
    )
    data = DataConfig(limit_train=case.images, limit_val=case.test_images)
    return RunConfig(seed=case.seed, data=data, phases={phase.name: phase})


def _run(runtime: Runtime, case: TrainingCase, stretch: Stretch, config: RunConfig) -> List[float]:
    """Train for the stretch; return each epoch's mean loss."""
    phase = config.phases["train"]
    images = _images(case, config, "train", stretch.resolution)
    order = InstanceSampler(len(images), runtime.geometry, seed=case.seed)
    curve = build.make_curve(phase, make_optimizer_spec(phase))
    loader = runtime.loader(images, order, train=True)
    losses = []
    for epoch in range(stretch.epochs):
        order.set_epoch(epoch)
        results = [
            runtime.train_batch(batch, StepKnobs(curve.lr(epoch + (done + 0.5) / order.num_batches)))
            for done, batch in enumerate(loader)
        ]
        losses.append(sum(r.loss_sum for r in results) / sum(r.samples for r in results))
    return losses


def _images(case: TrainingCase, config: RunConfig, split: str, resolution: int) -> ImageDataset:
    images = build.make_dataset(config, config.phases["train"], split, resolution, environ={})
    images.source.small = not case.as_photos
    return images


def _test(runtime: Runtime, case: TrainingCase, config: RunConfig, resolution: int) -> Dict[str, float]:
    images = _images(case, config, "val", resolution)
    order = InstanceSampler(len(images), runtime.eval_geometry, shuffle=False, drop_last=False)
    results = [runtime.eval_batch(batch) for batch in runtime.loader(images, order, train=False)]
    samples = sum(r.samples for r in results)
    return {
        "resolution": resolution,
        "top1": sum(r.correct for r in results) / samples,
        "loss": sum(r.loss_sum for r in results) / samples,
        "images": samples,
    }
