"""Cycles of one layer on one IPU, forward and backward, from its shape.

Convolutions: a closed form of what poplibs' planner plans, per pass. Everything else: instruction counts of
poplibs' vertices, spread over all tiles. Each also costs compute sets (a sync and its control), which is
what small feature maps are made of. Constants and their sources are in ``constants``. Every term is affine
in the micro-batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Dict, Tuple

from pipelines.cost import constants
from pipelines.cost.hardware import IpuTarget
from pipelines.cost.layers import ConvShape, LayerSpec

PRECISIONS = ("16.16", "16.32", "32.32")


@dataclass(frozen=True)
class Calibration:
    """The two constants that are fitted on throughput: a factor on element-wise work, cycles of one compute
    set.
    """

    elementwise_factor: float = constants.FITTED_ELEMENTWISE_FACTOR
    compute_set_cycles: float = constants.FITTED_COMPUTE_SET_CYCLES


FITTED = Calibration()


@dataclass(frozen=True)
class PassWork:
    """What one pass (forward or backward) costs before calibration; adds up over layers."""

    elementwise_cycles: float = 0.0
    conv_cycles: float = 0.0
    compute_sets: float = 0.0
    proxy_cycles: float = 0.0

    def __add__(self, other: PassWork) -> PassWork:
        return PassWork(
            self.elementwise_cycles + other.elementwise_cycles,
            self.conv_cycles + other.conv_cycles,
            self.compute_sets + other.compute_sets,
            self.proxy_cycles + other.proxy_cycles,
        )

    def cycles(self, calibration: Calibration = FITTED) -> float:
        """Return the cycles of the pass on every tile of the IPU (tiles work in lock-step)."""
        return (
            calibration.elementwise_factor * self.elementwise_cycles
            + self.conv_cycles
            + calibration.compute_set_cycles * self.compute_sets
            + self.proxy_cycles
        )


@dataclass(frozen=True)
class LayerWork:
    """Forward and backward pass of one layer or of several."""

    forward: PassWork = PassWork()
    backward: PassWork = PassWork()

    def __add__(self, other: LayerWork) -> LayerWork:
        return LayerWork(self.forward + other.forward, self.backward + other.backward)


def check_precision(precision: str) -> None:
    """Refuse precisions other than activations.weights of 16.16, 16.32 and 32.32."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision={precision!r}: choose one of {', '.join(PRECISIONS)}")


def layer_work(layer: LayerSpec, target: IpuTarget, *, micro_batch: float, precision: str) -> LayerWork:
    """Return the work of one layer for one micro-batch (samples; a fraction only serves interpolation)."""
    passes = _parameter_passes(layer, precision)
    if layer.conv is not None:
        return passes + _conv_work(layer, layer.conv, target, micro_batch, precision)
    return passes + _elementwise_work(layer, target, micro_batch, precision)


@lru_cache(maxsize=None)
def _known() -> Dict[str, float]:
    return {name: constant.value for name, constant in constants.table().items()}


def _elementwise_work(layer: LayerSpec, target: IpuTarget, micro_batch: float, precision: str) -> LayerWork:
    known = _known()
    kind = "swish_fused" if layer.kind == "swish" and target.fused_swish else layer.kind
    slowdown = known["float_elementwise_slowdown"] if precision == "32.32" else 1.0
    elements = layer.in_elements * micro_batch * slowdown / known["tiles"]
    passes = []
    for side in ("forward", "backward"):
        cycles = elements * known[f"elementwise.{kind}.{side}"]
        sets = known[f"sets.{layer.kind}.{side}"]
        is_proxy = layer.kind.startswith("proxy")
        passes.append(PassWork(0.0 if is_proxy else cycles, 0.0, sets, cycles if is_proxy else 0.0))
    return LayerWork(*passes)


def _parameter_passes(layer: LayerSpec, precision: str) -> LayerWork:
    """Casting the float master weights forward, accumulating gradients backward."""
    known = _known()
    share = layer.params / known["tiles"]
    cast = known["elementwise.weight_cast.forward"] if precision == "16.32" else 0.0
    accumulate = known["elementwise.gradient_accumulation.backward"]
    return LayerWork(PassWork(share * cast), PassWork(share * accumulate))


def _conv_work(
    layer: LayerSpec, shape: ConvShape, target: IpuTarget, micro_batch: float, precision: str
) -> LayerWork:
    known = _known()
    is_stem = shape.is_stem
    cycles = {
        name: _conv_cycles(layer, shape, name, micro_batch, precision) for name in constants.CONV_PASSES
    }
    if is_stem:
        cycles["to_input"] = 0.0  # nobody asks for the gradient of the image
    sets = "stem" if is_stem else "conv"
    slowdown = target.conv_slowdown
    return LayerWork(
        PassWork(0.0, slowdown * cycles["forward"], known[f"sets.{sets}.forward"]),
        PassWork(0.0, slowdown * (cycles["to_input"] + cycles["to_weights"]), known[f"sets.{sets}.backward"]),
    )


def conv_kinds(shape: ConvShape) -> Tuple[Tuple[str, float, float], ...]:
    """Return (row of the convolution table, weight, group size to evaluate it at).

    Group sizes between 1 and 16 are interpolated, linearly in log2 of the group size, between a depthwise
    and a group-16 convolution of the same input and output; above 16 the group-16 row is used as it is. A
    dense convolution has a row of its own.
    """
    if shape.kernel == 1:
        return (("vector" if shape.out_pixels == 1 else "pointwise", 1.0, shape.group_size),)
    if shape.is_stem:
        return (("stem", 1.0, shape.group_size),)
    if shape.is_dense:
        return (("dense", 1.0, shape.group_size),)
    if shape.group_size == 1 or shape.group_size >= 16:
        return (("depthwise" if shape.group_size == 1 else "group16", 1.0, shape.group_size),)
    share = math.log2(shape.group_size) / 4
    return (("depthwise", 1 - share, 1), ("group16", share, 16))


def _conv_cycles(layer: LayerSpec, shape: ConvShape, name: str, micro_batch: float, precision: str) -> float:
    known = _known()
    mac_slowdown = known["float_mac_slowdown"] if precision == "32.32" else 1.0
    byte_slowdown = known["float_elementwise_slowdown"] if precision == "32.32" else 1.0
    total = 0.0
    for kind, weight, group_size in conv_kinds(shape):
        a, b, c, d, e = (known[f"conv.{kind}.{name}.{term}"] for term in constants.CONV_TERMS)
        weights = shape.weights * group_size / shape.group_size
        macs = weights * shape.out_pixels * micro_batch / known["half_macs_per_cycle"]
        moved = (b * layer.in_elements + c * layer.out_elements) * micro_batch + d * weights
        total += weight * ((a * macs * mac_slowdown + moved * byte_slowdown) / known["tiles"] + e)
    return total
