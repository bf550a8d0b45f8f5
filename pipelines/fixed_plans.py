"""Plans whose cuts are given: every micro-batch that the global batch allows, or the given one."""

from __future__ import annotations

from dataclasses import replace
from typing import List, Sequence

from pipelines.cost.hardware import IpuTarget
from pipelines.cost.layers import LayerSpec, slice_stages, sub_block_starts
from pipelines.estimate import StepEstimate, estimate_plan, memory_rejections
from pipelines.geometry import BatchGeometry
from pipelines.plan import PipelinePlan
from pipelines.planner import PlanLimits, PlanSearch, RankedPlan, legal_shapes, no_shape


def plans_with_cuts(
    layers: Sequence[LayerSpec],
    target: IpuTarget,
    limits: PlanLimits,
    splits: Sequence[str],
    *,
    top: int = 5,
) -> PlanSearch:
    """Return the fastest plans with the cuts ``splits``, those that fit first; one at least is returned.

    Refuses names that the model does not have, a number of stages that is no power of two, and a global batch
    that cannot be made.
    """
    names = list(sub_block_starts(layers))
    plan = PipelinePlan.from_splits(splits, first=names[0])
    slice_stages(layers, [stage.first for stage in plan.stages])
    limits = _with_stages(limits.on(target), plan.num_stages)
    shapes = legal_shapes(limits, len(names))
    if not shapes:
        raise ValueError(no_shape(limits, len(names)))
    estimates: List[StepEstimate] = []
    for shape in shapes:
        geometry = BatchGeometry(
            micro_batch=shape.micro_batch,
            accumulation=shape.accumulation,
            replicas=shape.replicas // limits.instances,
            instances=limits.instances,
        )
        estimates.append(
            estimate_plan(
                layers,
                plan,
                geometry,
                target,
                precision=limits.precision,
                offload_optimizer=limits.offload_optimizer,
            )
        )
    fits = {id(e): not memory_rejections(e, limits.limit_bytes) for e in estimates}
    estimates.sort(key=lambda e: (not fits[id(e)], e.step_s if fits[id(e)] else max(e.memory_mb)))
    shown = [e for e in estimates if fits[id(e)]][:top] or estimates[:1]
    rejected = () if fits[id(shown[0])] else memory_rejections(shown[0], limits.limit_bytes)
    return PlanSearch(tuple(RankedPlan(e, is_optimal=False) for e in shown), tuple(rejected), len(shapes))


def _with_stages(limits: PlanLimits, num_stages: int) -> PlanLimits:
    if limits.num_stages not in (None, num_stages):
        raise ValueError(
            f"stages={limits.num_stages}: {num_stages - 1} splits make {num_stages} stages; leave one out"
        )
    return replace(limits, num_stages=num_stages)
