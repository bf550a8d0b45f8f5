"""How far to trust an estimate: which of its inputs nobody has published, and the error to expect."""

from __future__ import annotations

import math
from typing import List, Sequence, Tuple

from pipelines.cost import constants
from pipelines.cost.hardware import GATEWAY_IPUS, IpuTarget
from pipelines.cost.layers import LayerSpec
from pipelines.plan import PipelinePlan

# forward multiply-adds of one sample, B0 at half resolution to B5 at its native one
_FITTED_MULTIPLY_ADDS = (0.15e9, 14e9)
_PUBLISHED_GROUP_SIZES = (1, 16)
_PUBLISHED_ALLREDUCE_SHARE = 0.12  # of the step; the largest estimate for a published run is 0.11


def extrapolations(
    layers: Sequence[LayerSpec],
    plan: PipelinePlan,
    target: IpuTarget,
    *,
    precision: str,
    num_ipus: int,
    allreduce_share: float = 0.0,
) -> Tuple[str, ...]:
    """Return the names of the ways in which a plan lies outside of what was published; () for none.

    ``allreduce_share`` is the all-reduce's part of the step, 0 to 1.
    """
    reasons: List[str] = []
    if _group_size(layers) not in _PUBLISHED_GROUP_SIZES:
        reasons.append("group_size")
    if not _has_published_norm(layers):
        reasons.append("norm")
    work = sum(layer.conv.multiply_adds for layer in layers if layer.conv is not None)
    if not _FITTED_MULTIPLY_ADDS[0] <= work <= _FITTED_MULTIPLY_ADDS[1]:
        reasons.append("model_size")
    if precision == "32.32":
        reasons.append("precision")
    if plan.schedule != "grouped" or (plan.num_stages > 1 and not plan.recompute):
        reasons.append("schedule")
    if num_ipus > GATEWAY_IPUS:
        reasons.append("pod")
    if allreduce_share > _PUBLISHED_ALLREDUCE_SHARE:
        reasons.append("allreduce")
    if target.name != "mk2":
        reasons.append("platform")
    return tuple(reasons)


def expected_error_pct(reasons: Sequence[str], allreduce_share: float = 0.0) -> float:
    """Return the expected error in per cent: the published family's, and what each extrapolation adds
    (RMS). The all-reduce's own error counts by its share of the step.
    """
    parts = {name: constants.value(f"error_pct.{name}") for name in ("published_family", *reasons)}
    if "allreduce" in parts:
        parts["allreduce"] *= allreduce_share
    return round(math.sqrt(sum(part * part for part in parts.values())), 1)


def _group_size(layers: Sequence[LayerSpec]) -> int:
    """The group size of most spatial convolutions, the stem apart; widths that 16 does not divide count as
    16.
    """
    sizes = [
        layer.conv.group_size
        for layer in layers
        if layer.conv is not None and layer.conv.kernel > 1 and layer.conv.groups > 1
    ]
    if not sizes:
        return 0
    most = max(sorted(set(sizes)), key=sizes.count)
    return 16 if 14 <= most <= 24 else most


def _has_published_norm(layers: Sequence[LayerSpec]) -> bool:
    """Group norm of four groups without, and layer norm with proxy-normalised activations, were published."""
    groups = {layer.norm_groups for layer in layers if layer.kind == "norm"}
    has_proxy = any(layer.kind.startswith("proxy") for layer in layers)
    return groups == ({1} if has_proxy else {4})
