"""One phase settled: all that follows from its section, the machine and the number of images."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Optional, Sequence, Tuple

from ipu_app.config.batches import check_global_batch
from ipu_app.config.phase_stages import PhaseStage, phase_stages
from ipu_app.config.schema import PhaseConfig, RunConfig
from ipu_app.models.counts import count_multiply_adds, count_parameters
from ipu_app.models.layout import block_specs
from ipu_app.models.spec import EfficientNetSpec
from ipu_app.runtime.base import RuntimeInfo
from ipu_app.runtime.optimizers import OptimizerSpec
from ipu_app.settling.data_facts import DataFacts
from ipu_app.settling.device_settings import describe_device
from ipu_app.settling.machine import Machine
from ipu_app.settling.phase_batches import make_geometries
from ipu_app.settling.phase_estimates import (
    configured_spec,
    estimate_phase,
    memory_problem,
    phase_plan,
    resolutions_of,
)
from ipu_app.training.curves import published_peak, published_rho
from pipelines.cost.hardware import ipu_target
from pipelines.estimate import StepEstimate
from pipelines.geometry import BatchGeometry
from pipelines.plan import PipelinePlan
from pipelines.words import counted


@dataclass(frozen=True)
class SettledPhase:
    """What a phase will be: network, resolution in pixels, batches, optimiser, plan and device.

    ``geometry`` and ``eval_geometry`` are one instance's batches of training and of validation; ``plan`` and
    ``estimate`` are for IPUs, the latter by the cost model and None elsewhere. Of a progressive phase this is
    one ``stage``, the first unless it says otherwise, and ``stages`` are all; else it is its only stage.
    """

    name: str
    config: PhaseConfig
    spec: EfficientNetSpec
    resolution: int
    geometry: BatchGeometry
    eval_geometry: BatchGeometry
    optimizer: OptimizerSpec
    info: RuntimeInfo
    plan: PipelinePlan
    stage: PhaseStage
    estimate: Optional[StepEstimate] = None
    stages: Tuple[SettledPhase, ...] = ()

    def at(self, epoch: int) -> SettledPhase:
        """The stage that trains this epoch of the phase, from 0; the last one after its end."""
        for settled in self.stages:
            if epoch < settled.stage.end_epoch:
                return replace(settled, stages=self.stages)
        return replace(self.stages[-1], stages=self.stages)

    @property
    def model_description(self) -> str:
        """One line on the network."""
        return describe_model(self.spec, self.resolution)


def settle_phase(
    config: RunConfig, name: str, machine: Machine, data: Optional[DataFacts] = None
) -> SettledPhase:
    """Work out a phase; refuses what can not be done. Without ``data`` there are 1000 classes."""
    stages = phase_stages(config, name, **resolutions_of(configured_spec(config.model)))
    settled = tuple(_settle_stage(stage, machine, data) for stage in stages)
    return replace(settled[0], stages=settled)


def _settle_stage(stage: PhaseStage, machine: Machine, data: Optional[DataFacts]) -> SettledPhase:
    config, phase = stage.config, stage.phase
    spec = configured_spec(config.model, *([len(data.classes)] if data else []))
    check_trainable(["block0", *(block.name for block in block_specs(spec)), "Top"], phase.trainable)
    estimate = _estimate(config, phase, machine)
    geometry, eval_geometry = make_geometries(phase, machine.device, instances=machine.instances)
    if data is not None:
        check_global_batch(geometry, data.num_train, phase)
    if machine.device == "ipu":
        machine.world.check_layout(
            replicas=geometry.total_replicas, ipus_per_replica=len(phase.pipeline.splits) + 1
        )
    return SettledPhase(
        name=phase.name,
        config=phase,
        spec=spec,
        resolution=phase.resolution or spec.native_resolution,
        geometry=geometry,
        eval_geometry=eval_geometry,
        optimizer=make_optimizer_spec(phase),
        info=describe_device(config, phase, geometry, machine.device, machine.poptorch),
        plan=phase_plan(phase),
        stage=stage,
        estimate=estimate,
    )


def _estimate(config: RunConfig, phase: PhaseConfig, machine: Machine) -> Optional[StepEstimate]:
    """Estimate the phase's plan where it runs on IPUs; with strict memory, refuse one that does not fit."""
    if machine.device != "ipu":
        return None
    estimate = estimate_phase(
        config.model,
        phase,
        target=ipu_target(config.device.platform),
        environ=machine.environ,
        instances=machine.instances,
    )
    problem = memory_problem(estimate)
    if problem and config.device.strict_memory:
        raise ValueError(f"device.strict_memory=true: the plan is estimated not to fit: {problem}")
    return estimate


def check_trainable(blocks: Sequence[str], trainable: str) -> None:
    """Refuse the name of a block that is not among those of the network."""
    if trainable != "all" and trainable not in blocks:
        raise ValueError(f"trainable={trainable!r}: choose all or one of {', '.join(blocks)}")


def make_optimizer_spec(phase: PhaseConfig) -> OptimizerSpec:
    """Return the optimiser with the paper's rules filled in where the configuration leaves them open."""
    section, batch = phase.optimizer, phase.batch.global_batch
    open_ones = {
        "lr": published_peak(batch, section.lr_per_image) if section.lr is None else section.lr,
        "rho": published_rho(batch) if section.rho is None else section.rho,
    }
    return OptimizerSpec(**{**asdict(section), **open_ones})


def describe_model(spec: EfficientNetSpec, resolution: int) -> str:
    """Return one line on the network: what it is, parameters, multiply-adds."""
    parameters = sum(count_parameters(spec).values())
    multiply_adds = sum(count_multiply_adds(spec, resolution).values())
    title = f"EfficientNet{'' if spec.name.startswith('v2-') else '-'}{spec.name.upper()}"
    return (
        f"{title}, group size {spec.group_size}, expand ratio "
        f"{spec.expand_ratio:g}, norm {spec.norm}, {resolution} px, {counted(spec.num_classes, 'class')}: "
        f"{parameters / 1e6:.2f} M parameters, {multiply_adds / 1e6:.1f} M multiply-adds an image forward"
    )
