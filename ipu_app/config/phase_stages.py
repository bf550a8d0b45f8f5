"""The stages of a phase of progressive learning, each as the plain configuration that it is trained by.

A stage is a run's configuration in which size, augmentation, dropout, batch factors and pipeline of the phase
are the stage's own; optimiser, schedule, average and epochs are the whole phase's. So whatever is made from a
phase (geometry, plan, estimate, data, graphs) is made from a stage in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Dict, Optional, Tuple

from ipu_app.config.augment import AugmentConfig
from ipu_app.config.progressive import (
    NO_RANGE,
    ProgressiveConfig,
    Range,
    Ranges,
    Stage,
    has_published_ranges,
    own_ranges,
    sizes_to,
    staged,
)
from ipu_app.config.schema import BatchConfig, DeviceConfig, PhaseConfig, RunConfig


@dataclass(frozen=True)
class PhaseStage:
    """One of ``count`` stages (``number`` from 1), from ``first_epoch`` up to ``end_epoch`` of its phase.

    ``config`` is the run's with this stage's values in its phase and model; its phase has no stages.
    """

    number: int
    count: int
    first_epoch: int
    end_epoch: int
    config: RunConfig
    phase: PhaseConfig

    @property
    def num_epochs(self) -> int:
        """Epochs of this stage."""
        return self.end_epoch - self.first_epoch

    def describe(self) -> str:
        """Return one line on what the stage is trained with."""
        augment, strengths = self.phase.augment, []
        if augment.randaugment.magnitude is not None:
            strengths.append(f"RandAugment {augment.randaugment.magnitude:.3g}")
        if augment.mixup_alpha:
            strengths.append(f"mixup {augment.mixup_alpha:.3g}")
        if augment.cutmix_alpha:
            strengths.append(f"cutmix {augment.cutmix_alpha:.3g}")
        if self.config.model.dropout is not None:
            strengths.append(f"dropout {self.config.model.dropout:.3g}")
        epochs = f"epochs {self.first_epoch + 1} to {self.end_epoch}"
        return f"stage {self.number}/{self.count}: {epochs} at {self.phase.resolution} px, " + ", ".join(
            strengths
        )


def phase_stages(config: RunConfig, name: str, *, native: int, evaluation: int) -> Tuple[PhaseStage, ...]:
    """Return the stages of a phase: of one without progressive learning, the phase as the only one.

    ``native`` and ``evaluation`` are the network's resolutions in pixels. Refuses fewer epochs than stages,
    and batch factors that do not make the phase's global batch.
    """
    phase = config.phases[name]
    if not phase.progressive.is_on:
        return (PhaseStage(1, 1, 0, phase.epochs, config, phase),)
    found = _laws_stages(config, name, native, evaluation)
    if phase.epochs < len(found):
        raise ValueError(
            f"phases.{name}.epochs={phase.epochs}: must be at least progressive.stages={len(found)}, as "
            "stages begin with an epoch"
        )
    return tuple(_phase_stage(config, phase, stage, i) for i, stage in enumerate(found))


def _phase_stage(config: RunConfig, phase: PhaseConfig, stage: Stage, i: int) -> PhaseStage:
    section = phase.progressive
    plain = replace(
        phase,
        resolution=stage.resolution,
        augment=_augment(phase.augment, stage),
        batch=_batch(phase, section, i),
        pipeline=replace(phase.pipeline, splits=section.splits[i]) if section.splits else phase.pipeline,
        progressive=ProgressiveConfig(),
    )
    return PhaseStage(
        number=i + 1,
        count=section.stages,
        first_epoch=_whole(stage.start * phase.epochs),
        end_epoch=_whole(stage.end * phase.epochs),
        config=replace(
            config,
            model=replace(config.model, dropout=stage.dropout),
            device=_device(config, f"{phase.name}-{stage.resolution}px"),
            phases={**config.phases, phase.name: plain},
        ),
        phase=plain,
    )


def _device(config: RunConfig, name: str) -> DeviceConfig:
    """The device, with a folder of its own for the executable of this size, where they are kept."""
    cache = config.device.executable_cache
    return config.device if cache is None else replace(config.device, executable_cache=f"{cache}/{name}")


def _whole(epochs: float) -> int:
    """Whole epochs, for shares like 3 * (1 / 3) that floating point makes a little less."""
    return int(epochs + 1e-9)


def _laws_stages(config: RunConfig, name: str, native: int, evaluation: int) -> Tuple[Stage, ...]:
    phase = config.phases[name]
    section = phase.progressive
    ranges = section.ranges(_phase_ranges(config, phase, native))
    align = None if section.align == "none" else evaluation if section.align == "eval" else int(section.align)
    return staged(ranges, rule=section.rule, count=section.stages, align=align)


def _phase_ranges(config: RunConfig, phase: PhaseConfig, native: int) -> Ranges:
    """The network's own ranges under the law.

    What the run sets itself is what they end at: size and dropout; mixup where the law has none; RandAugment
    where no range was published. There is none where images are not augmented or by another policy.
    """
    own, augment = own_ranges(config.model.name, phase.progressive.rule), phase.augment
    changes: Dict[str, Any] = {}
    if phase.resolution is not None and phase.resolution != native:
        changes["resolution"] = sizes_to(phase.resolution)
    if augment.preprocessing != "train" or augment.autoaugment != "off":
        changes["randaugment"] = None
    elif augment.randaugment.magnitude is not None and not has_published_ranges(config.model.name):
        changes["randaugment"] = _up_to(own.randaugment, augment.randaugment.magnitude)
    for key in ("mixup_alpha", "cutmix_alpha"):
        if getattr(own, key) == NO_RANGE:
            changes[key] = (0.0, getattr(augment, key))
    if config.model.dropout is not None:
        changes["dropout"] = _up_to(own.dropout, config.model.dropout)
    return replace(own, **changes)


def _up_to(own: Optional[Range], last: float) -> Range:
    return (min(own[0] if own else 0.0, last), last)


def _augment(augment: AugmentConfig, stage: Stage) -> AugmentConfig:
    return replace(
        augment,
        mixup_alpha=stage.mixup_alpha,
        cutmix_alpha=stage.cutmix_alpha,
        randaugment=replace(augment.randaugment, magnitude=stage.randaugment),
    )


def _batch(phase: PhaseConfig, section: ProgressiveConfig, i: int) -> BatchConfig:
    """The stage's own micro-batch and replicas, accumulated to the phase's global batch."""
    batch, total = phase.batch, phase.batch.global_batch
    micro = section.micro[i] if section.micro else batch.micro
    replicas = section.replicas[i] if section.replicas else batch.replicas
    if total % (micro * replicas):
        raise ValueError(
            f"phases.{phase.name}.progressive: stage {i + 1}'s micro-batch {micro} x replicas {replicas} do "
            f"not divide the global batch of {total}"
        )
    torch_micro = section.torch_micro[i] if section.torch_micro else batch.torch_micro
    return replace(
        batch,
        micro=micro,
        replicas=replicas,
        accumulation=total // (micro * replicas),
        torch_micro=torch_micro,
    )
