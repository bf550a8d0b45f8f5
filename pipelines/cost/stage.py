"""Cost of one pipeline stage: the sum over its layers, before and after calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

from pipelines.cost import constants
from pipelines.cost.cycles import FITTED, Calibration, LayerWork, check_precision, layer_work
from pipelines.cost.hardware import IpuTarget
from pipelines.cost.layers import LayerSpec
from pipelines.cost.memory import StoragePolicy, input_bytes


@dataclass(frozen=True)
class StageCost:
    """One stage, one micro-batch. ``in_bytes`` enter it from the host (first stage) or from the stage
    before.
    """

    first: str
    work: LayerWork
    in_bytes: int
    params: int
    param_tensors: int

    def forward_cycles(self, calibration: Calibration = FITTED) -> float:
        """Cycles of one forward pass, which a recomputation repeats."""
        return self.work.forward.cycles(calibration)

    def backward_cycles(self, calibration: Calibration = FITTED) -> float:
        """Cycles of one backward pass, without recomputation."""
        return self.work.backward.cycles(calibration)

    @property
    def update_cycles(self) -> float:
        """Cycles of one weight update."""
        return (
            constants.value("update_cycles_per_parameter") * self.params / constants.value("tiles")
            + constants.value("update_cycles_per_tensor") * self.param_tensors
        )


def cost_stage(
    layers: Sequence[LayerSpec], target: IpuTarget, *, micro_batch: int, precision: str
) -> StageCost:
    """Return the cost of the layers of one stage for one micro-batch; refuses unknown precisions."""
    check_precision(precision)
    work = LayerWork()
    for layer in layers:
        work = work + layer_work(layer, target, micro_batch=micro_batch, precision=precision)
    return StageCost(
        first=layers[0].sub_block,
        work=work,
        in_bytes=micro_batch * input_bytes(layers[0], StoragePolicy(precision)),
        params=sum(layer.params for layer in layers),
        param_tensors=sum(layer.param_tensors for layer in layers),
    )
