"""How far to trust an estimate: which of its inputs nobody has published, and the error to expect.

An error in per cent is a bound that the published rows keep, not a mean. It starts at what holds the rows
that the constants are fitted on; every way in which a plan lies outside of what was published adds its own
part, as squares, since the parts have nothing to do with each other. Parts that have a distance count once
per doubling of it: a pipeline of 16 stages is two doublings from one of 4. The all-reduce counts by its share
of the step. Sizes and reasons of all parts are constants (``error_pct.*``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Dict, List, Sequence, Tuple

from pipelines.cost import constants
from pipelines.cost.hardware import IpuTarget
from pipelines.cost.layers import ConvShape, LayerSpec
from pipelines.plan import PipelinePlan

# forward multiply-adds of one sample, B0 at half resolution to B5 at its native one
_FITTED_MULTIPLY_ADDS = (0.15e9, 14e9)
_PUBLISHED_GROUP_SIZES = (1, 16)
_ODD_GROUP_SHARE = 0.2  # of spatial multiply-adds in groups of another size; B3 G16, published, has 0.18
_PUBLISHED_STAGES = (2, 4)
_PUBLISHED_IPUS = {"2.0": (16,), "3": (16, 64, 256)}
_PUBLISHED_PLATFORM = {"2.0": "mk2", "3": "bow"}
_PUBLISHED_ALLREDUCE_SHARE = 0.12  # of the step; the largest estimate for a published run is 0.11


@dataclass(frozen=True)
class Part:
    """One part of an error: its name (a reason, but for the family's own) and its size in per cent."""

    name: str
    error_pct: float


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
    parts = training_parts(
        layers, plan, target, precision=precision, num_ipus=num_ipus, allreduce_share=allreduce_share
    )
    return tuple(part.name for part in parts)


def training_parts(
    layers: Sequence[LayerSpec],
    plan: PipelinePlan,
    target: IpuTarget,
    *,
    precision: str,
    num_ipus: int,
    allreduce_share: float = 0.0,
) -> Tuple[Part, ...]:
    """Return every reason for a wider error of a training plan, with what it adds."""
    sizes: Dict[str, float] = {
        **_network_sizes(layers),
        **_software_sizes(target),
        "framework": float(target.framework != "tf1"),
        "precision": float(precision == "32.32"),
        "schedule": float(plan.schedule != "grouped" or (plan.num_stages > 1 and not plan.recompute)),
        "stages": _doublings(plan.num_stages, _PUBLISHED_STAGES[0], _PUBLISHED_STAGES[1]),
        "num_ipus": min(_doublings(num_ipus, n, n) for n in _PUBLISHED_IPUS[target.sdk]),
        "allreduce": allreduce_share if allreduce_share > _PUBLISHED_ALLREDUCE_SHARE else 0.0,
    }
    return _parts(sizes)


def inference_parts(
    layers: Sequence[LayerSpec], target: IpuTarget, *, num_stages: int, precision: str
) -> Tuple[Part, ...]:
    """Return every reason for a wider error of an estimate of inference.

    Batch norm is none, as it is folded away; nor is the framework, as the device runs by itself.
    """
    sizes: Dict[str, float] = {
        **_network_sizes(layers),
        **_software_sizes(target),
        "precision": float(precision == "32.32"),
        "stages": _doublings(num_stages, 1, 1),
    }
    sizes.pop("norm")
    return _parts(sizes)


def expected_error_pct(parts: Sequence[Part], *, family: str = "published_family") -> float:
    """Return the error to expect in per cent: the family's own, and what each part adds (as squares)."""
    sizes = [constants.value(f"error_pct.{family}"), *(part.error_pct for part in parts)]
    return round(math.sqrt(sum(size * size for size in sizes)), 1)


def _parts(sizes: Dict[str, float]) -> Tuple[Part, ...]:
    """Turn distances (0: inside of what was published) into parts."""
    return tuple(
        Part(name, distance * constants.value(f"error_pct.{name}"))
        for name, distance in sizes.items()
        if distance > 0
    )


def _software_sizes(target: IpuTarget) -> Dict[str, float]:
    return {
        "sdk": float(target.sdk != "2.0"),
        "platform": float(target.name != _PUBLISHED_PLATFORM[target.sdk]),
    }


def _network_sizes(layers: Sequence[LayerSpec]) -> Dict[str, float]:
    work = sum(layer.conv.multiply_adds for layer in layers if layer.conv is not None)
    smallest, largest = _FITTED_MULTIPLY_ADDS
    return {
        "group_size": float(_odd_group_share(layers) > _ODD_GROUP_SHARE),
        "dense_conv": float(any(shape.is_dense for shape in _spatial(layers))),
        "norm": float(not _has_published_norm(layers)),
        "model_size": float(not smallest <= work <= largest),
    }


def _doublings(number: int, least: int, most: int) -> float:
    """Return how many doublings a number lies outside of a range."""
    return abs(math.log2(number / min(max(number, least), most)))


def _spatial(layers: Sequence[LayerSpec]) -> List[ConvShape]:
    """The KxK convolutions, the stem apart."""
    return [
        layer.conv
        for layer in layers
        if layer.conv is not None and layer.conv.kernel > 1 and not layer.conv.is_stem
    ]


def _odd_group_share(layers: Sequence[LayerSpec]) -> float:
    """The share of group convolutions' multiply-adds whose groups have a size that nobody published."""
    grouped = [shape for shape in _spatial(layers) if not shape.is_dense]
    odd = [shape for shape in grouped if shape.group_size not in _PUBLISHED_GROUP_SIZES]
    total = sum(shape.multiply_adds for shape in grouped)
    return sum(shape.multiply_adds for shape in odd) / total if total else 0.0


def _has_published_norm(layers: Sequence[LayerSpec]) -> bool:
    """Group norm of four groups without, and layer norm with proxy-normalised activations, were published."""
    groups = {layer.norm_groups for layer in layers if layer.kind == "norm"}
    has_proxy = any(layer.kind.startswith("proxy") for layer in layers)
    return groups == ({1} if has_proxy else {4})
