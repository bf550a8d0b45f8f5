"""What someone who asked for a plan should also know: fewer IPUs that do better, a better batch nearby, a
plan that only the last of a coarse memory limit allows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, List, Optional, Sequence, Tuple

from pipelines.cost import constants
from pipelines.cost.hardware import IpuTarget
from pipelines.cost.layers import LayerSpec, sub_block_starts
from pipelines.estimate import StepEstimate
from pipelines.planner import PlanLimits, legal_shapes, plan_pipelines

_LOST_SHARE = 0.2  # of a step to all-reduce and bubble: from here on fewer IPUs may do better
_FEW_SHAPES = 0.6  # of a neighbouring batch's ways to be spread: from here on it may do better
_CLEARLY = 1.1


def hints(
    layers: Sequence[LayerSpec], target: IpuTarget, limits: PlanLimits, best: StepEstimate
) -> Tuple[str, ...]:
    """Return one sentence for each thing that should be known beside the best plan; () for none."""
    limits = limits.on(target)
    found = [
        _last_of_the_limit(layers, target, limits, best),
        _fewer_ipus(layers, target, limits, best),
        _batch_nearby(layers, target, limits, best),
    ]
    return tuple(hint for hint in found if hint)


def needs_last_of_limit(estimate: StepEstimate, limit_bytes: float) -> bool:
    """Whether a plan needs the last few per cent of a coarse limit."""
    share = 1.0 - constants.value("memory.coarse_share")
    return 1e6 * max(estimate.memory_mb) > share * limit_bytes


def _last_of_the_limit(
    layers: Sequence[LayerSpec], target: IpuTarget, limits: PlanLimits, best: StepEstimate
) -> str:
    if not needs_last_of_limit(best, limits.limit_bytes):
        return ""
    percent = 100 * constants.value("memory.coarse_share")
    fullest, limit = max(best.memory_mb), limits.limit_bytes / 1e6
    tighter = (1.0 - constants.value("memory.coarse_share")) * limits.limit_bytes
    other = _best(layers, target, limits, memory_limit_bytes=tighter)
    instead = "" if other is None else f"; without them: {_short(other)} (--memory-limit {tighter / 1e6:.0f})"
    return (
        f"careful: the first plan counts {fullest:.0f} MB and needs the last {percent:.0f} % of a limit of "
        f"{limit:.0f} MB, which is coarse{instead}"
    )


def _fewer_ipus(
    layers: Sequence[LayerSpec], target: IpuTarget, limits: PlanLimits, best: StepEstimate
) -> str:
    lost = (best.time.allreduce_s + best.time.bubble_s) / best.step_s
    half = limits.num_ipus // 2
    if half < 1 or lost < _LOST_SHARE:
        return ""
    other = _best(layers, target, limits, num_ipus=half)
    if other is None or other.images_per_s < best.images_per_s:
        return ""
    return (
        f"{half} IPUs do better than {limits.num_ipus} at this global batch: {_short(other)} (--ipus {half})"
    )


def _batch_nearby(
    layers: Sequence[LayerSpec], target: IpuTarget, limits: PlanLimits, best: StepEstimate
) -> str:
    num_atoms = len(sub_block_starts(layers))
    batch = _rounder_batch(limits, num_atoms)
    if batch is None:
        return ""
    other = _best(layers, target, limits, global_batch=batch, micro_batch=None)
    if other is None or other.images_per_s < _CLEARLY * best.images_per_s:
        return ""
    return (
        f"a global batch of {batch} is {other.images_per_s / best.images_per_s:.1f} times as fast as "
        f"{limits.global_batch}, which has few divisors: {_short(other)} (--global-batch {batch})"
    )


def _rounder_batch(limits: PlanLimits, num_atoms: int) -> Optional[int]:
    """The batch nearby that can be spread in the most ways, of equals the nearest.

    None where that is not clearly more than the given one can be.
    """
    own = len(legal_shapes(limits, num_atoms))
    free = replace(limits, micro_batch=None)
    step, reach = limits.num_ipus, max(limits.num_ipus, limits.global_batch // 20)
    reach = min(reach, limits.global_batch // 4)
    first = -(-max(1, limits.global_batch - reach) // step) * step
    batches = range(first, limits.global_batch + reach + 1, step)
    ways = {batch: len(legal_shapes(replace(free, global_batch=batch), num_atoms)) for batch in batches}
    ways = {batch: count for batch, count in ways.items() if own < _FEW_SHAPES * count}
    return max(ways, key=lambda b: (ways[b], -abs(b - limits.global_batch)), default=None)


def _best(
    layers: Sequence[LayerSpec], target: IpuTarget, limits: PlanLimits, **changes: Any
) -> Optional[StepEstimate]:
    """The best plan under changed limits, or None where there is none: then it is no advice."""
    try:
        return plan_pipelines(layers, target, replace(limits, **changes), top=1).best
    except ValueError:
        return None


def _short(estimate: StepEstimate) -> str:
    stages, micro = estimate.plan.num_stages, estimate.geometry.micro_batch
    many: List[str] = [f"{estimate.images_per_s:.0f} images/s", f"{stages} stage{'s' * (stages > 1)}"]
    return ", ".join([*many, f"micro-batch {micro}"])
