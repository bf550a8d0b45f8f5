"""What a plan would take: time of a step, images per second, memory per IPU, and how sure that is.

All figures are estimates of the model in ``pipelines.cost``; nothing here is measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

from pipelines.confidence import expected_error_pct, training_parts
from pipelines.cost.cycles import FITTED, Calibration
from pipelines.cost.hardware import IpuTarget, allreduce_bytes_per_s, check_num_ipus
from pipelines.cost.layers import LayerSpec, slice_stages
from pipelines.cost.memory import (
    OFFLOAD_TRAFFIC_BYTES,
    Rejection,
    StageMemory,
    StoragePolicy,
    check_fit,
    stage_memory,
)
from pipelines.cost.stage import StageCost, cost_stage
from pipelines.geometry import BatchGeometry
from pipelines.plan import PipelinePlan
from pipelines.schedule import StageTimes, pipeline_seconds, stash_depth, steady_seconds


@dataclass(frozen=True)
class StageEstimate:
    """One stage on one IPU: cycles of one micro-batch and counted memory."""

    first: str
    ipu: int
    forward_cycles: float
    backward_cycles: float
    memory: StageMemory
    times: StageTimes


@dataclass(frozen=True)
class StepTime:
    """Seconds of one optimiser step: its micro-batches, then reduction, update and offloaded state."""

    pipeline_s: float
    allreduce_s: float
    update_s: float
    offload_s: float
    bubble_s: float

    @property
    def total_s(self) -> float:
        """The whole step."""
        return self.pipeline_s + self.allreduce_s + self.update_s + self.offload_s


@dataclass(frozen=True)
class StepEstimate:
    """Estimate of one plan. ``extrapolated`` names what nobody published; ``error_pct`` is the error to
    expect.
    """

    plan: PipelinePlan
    geometry: BatchGeometry
    stages: Tuple[StageEstimate, ...]
    time: StepTime
    error_pct: float
    extrapolated: Tuple[str, ...]
    target: IpuTarget

    @property
    def platform(self) -> str:
        """The kind of IPU, by its clock: mk2 or bow."""
        return self.target.name

    @property
    def step_s(self) -> float:
        """Seconds of one optimiser step."""
        return self.time.total_s

    @property
    def images_per_s(self) -> float:
        """Training throughput of the whole job."""
        return self.geometry.samples_per_step / self.step_s

    @property
    def bubble_fraction(self) -> float:
        """Share of the step lost to filling and draining the pipeline; goes to 0 as accumulation grows."""
        return self.time.bubble_s / self.step_s

    @property
    def idle_fraction(self) -> float:
        """Share of IPU time in a full pipeline that is spent waiting for the slowest stage."""
        steady = steady_seconds([stage.times for stage in self.stages], self.plan.schedule)
        busy = sum(stage.times.total_s for stage in self.stages)
        return 1.0 - busy / (steady * len(self.stages))

    @property
    def memory_mb(self) -> Tuple[float, ...]:
        """Counted megabytes of each IPU of a replica."""
        return tuple(stage.memory.total_mb for stage in self.stages)

    @property
    def meaning(self) -> str:
        """What the figure means, the figure, and how sure it is."""
        extra = f", extrapolated: {' '.join(self.extrapolated)}" if self.extrapolated else ""
        return (
            f"estimated training, {self.target.describe()}: {self.images_per_s:.0f} images/s "
            f"(expected error up to {self.error_pct:.0f} %{extra})"
        )

    @property
    def step_summary(self) -> str:
        """How long a step takes and how full the IPUs are."""
        return (
            f"step {1e3 * self.step_s:.1f} ms, bubble {100 * self.bubble_fraction:.1f} %, "
            f"memory {_listed(self.memory_mb)} MB/IPU counted"
        )

    def describe(self) -> str:
        """Return one line: what it means, how fast, how full, how sure."""
        return f"{self.meaning}, {self.step_summary}"


def _listed(numbers: Sequence[float]) -> str:
    """The numbers, or of more than 8 the least and the largest."""
    if len(numbers) > 8:
        return f"{min(numbers):.0f} to {max(numbers):.0f}"
    return ", ".join(f"{number:.0f}" for number in numbers)


def estimate_plan(
    layers: Sequence[LayerSpec],
    plan: PipelinePlan,
    geometry: BatchGeometry,
    target: IpuTarget,
    *,
    precision: str = "16.32",
    offload_optimizer: bool = False,
    calibration: Calibration = FITTED,
) -> StepEstimate:
    """Return the estimate of a plan; refuses illegal plans (see ``check_plan``)."""
    check_plan(plan, geometry)
    policy = StoragePolicy(precision, offload_optimizer, plan.recompute)
    tables = slice_stages(layers, [stage.first for stage in plan.stages])
    costs = [cost_stage(t, target, micro_batch=geometry.micro_batch, precision=precision) for t in tables]
    times = stage_times(costs, target, recompute=plan.recompute, calibration=calibration)
    stages = []
    for index, (table, cost) in enumerate(zip(tables, costs)):
        depth = stash_depth(plan.schedule, index, plan.num_stages)
        stages.append(
            StageEstimate(
                first=cost.first,
                ipu=index,
                forward_cycles=cost.forward_cycles(calibration),
                backward_cycles=cost.backward_cycles(calibration),
                memory=stage_memory(table, policy, micro_batch=geometry.micro_batch, stash_depth=depth),
                times=times[index],
            )
        )
    num_ipus = plan.num_stages * geometry.total_replicas
    time = step_time(plan, costs, geometry, target, policy=policy, times=times)
    share = time.allreduce_s / time.total_s
    parts = training_parts(
        layers, plan, target, precision=precision, num_ipus=num_ipus, allreduce_share=share
    )
    return StepEstimate(
        plan=plan,
        geometry=geometry,
        stages=tuple(stages),
        time=time,
        error_pct=expected_error_pct(parts),
        extrapolated=tuple(part.name for part in parts),
        target=target,
    )


def check_plan(plan: PipelinePlan, geometry: BatchGeometry) -> None:
    """Refuse what PopTorch refuses: a number of IPUs that is no power of two, too little accumulation."""
    check_num_ipus(plan.num_stages * geometry.total_replicas)
    if geometry.accumulation < plan.min_accumulation:
        raise ValueError(
            f"accumulation={geometry.accumulation}: a training pipeline of {plan.num_stages} stages needs "
            f"{plan.min_accumulation} or more"
        )


def stage_times(
    costs: Sequence[StageCost], target: IpuTarget, *, recompute: bool, calibration: Calibration = FITTED
) -> List[StageTimes]:
    """Return the seconds of each stage. The last stage is never recomputed: its backward follows at once."""
    rate = target.training_cycles_per_s
    host = target.host_bytes_per_s(len(costs))
    times = []
    for index, cost in enumerate(costs):
        is_last = index == len(costs) - 1
        forward = cost.forward_cycles(calibration) / rate
        arriving = cost.in_bytes / (target.link_bytes_per_s if index else host)
        returning = 0.0 if is_last else costs[index + 1].in_bytes / target.link_bytes_per_s
        times.append(
            StageTimes(
                forward_s=forward + arriving,
                recompute_s=forward if recompute and not is_last else 0.0,
                backward_s=cost.backward_cycles(calibration) / rate + returning,
            )
        )
    return times


def step_time(
    plan: PipelinePlan,
    costs: Sequence[StageCost],
    geometry: BatchGeometry,
    target: IpuTarget,
    *,
    policy: StoragePolicy,
    times: Sequence[StageTimes],
) -> StepTime:
    """Return the time of a step: pipeline, ring all-reduce of the largest stage, update, offloaded state."""
    replicas = geometry.total_replicas
    largest = max(cost.params for cost in costs)
    ring = 2 * (replicas - 1) / replicas * largest * policy.gradient_bytes
    pipeline = pipeline_seconds(times, geometry.accumulation, plan.schedule)
    traffic = OFFLOAD_TRAFFIC_BYTES * largest if policy.offload_optimizer else 0
    return StepTime(
        pipeline_s=pipeline,
        allreduce_s=ring / allreduce_bytes_per_s(plan.num_stages * replicas),
        update_s=max(cost.update_cycles for cost in costs) / target.clock_hz,
        offload_s=traffic / target.streaming_bytes_per_s,
        bubble_s=pipeline - geometry.accumulation * steady_seconds(times, plan.schedule),
    )


def memory_rejections(estimate: StepEstimate, limit_bytes: Optional[float] = None) -> Tuple[Rejection, ...]:
    """Return one rejection for each stage over the limit (None: up to where configurations are known to run);
    () if the plan fits.
    """
    limit = estimate.target.memory_limit_bytes if limit_bytes is None else limit_bytes
    found = [check_fit(stage.memory, limit, stage=stage.first) for stage in estimate.stages]
    return tuple(rejection for rejection in found if rejection is not None)
