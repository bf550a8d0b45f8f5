"""S: seconds to train on one image, planned for IPUs by the cost model, or measured on this CPU or GPU.

Chosen once for a search, and labelled: an estimate is never mixed with a measurement.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Optional, Protocol

from ipu_app.models.spec import EfficientNetSpec

MEASURED_STEPS = 5  # timed, after the first


class NotTrainable(ValueError):
    """A candidate that the machine can not train: no plan fits, or the device's memory does not."""


@dataclass(frozen=True)
class Timed:
    """Seconds an image takes in training, how sure that is, and the plan behind it (empty where measured)."""

    seconds_per_image: float
    error_pct: float
    plan: Dict[str, Any] = field(default_factory=dict)


class StepTime(Protocol):
    """Where S comes from; ``label`` says it in words: estimated or measured, and for or on what."""

    label: str

    def time(self, spec: EfficientNetSpec) -> Timed:
        """Return S at the spec's native resolution; raises NotTrainable with the reason."""


class PlannedTime:
    """By the best plan on a number of IPUs; memory is a hard limit."""

    def __init__(self, *, ipus: int, platform: str, global_batch: int, cache: Optional[Path]) -> None:
        from pipelines.cost.hardware import ipu_target
        from pipelines.planner import PlanLimits

        self._target = ipu_target(platform)
        self._limits = PlanLimits(num_ipus=ipus, global_batch=global_batch)
        self._cache = cache
        self.label = f"estimated: best plan on {ipus} {platform} IPUs, global batch {global_batch}"

    def time(self, spec: EfficientNetSpec) -> Timed:
        """Return S at the spec's native resolution; raises NotTrainable with the reason."""
        from ipu_app.models.layer_table import load_layer_table
        from pipelines.planner import plan_pipelines

        layers = load_layer_table(spec, cache=self._cache)
        try:
            best = plan_pipelines(layers, self._target, self._limits, top=1).best
        except ValueError as error:
            raise NotTrainable(str(error)) from error
        plan = {
            "splits": list(best.plan.splits),
            "micro_batch": best.geometry.micro_batch,
            "accumulation": best.geometry.accumulation,
            "replicas": best.geometry.total_replicas,
            "images_per_s": best.images_per_s,
        }
        return Timed(1 / best.images_per_s, best.error_pct, plan)


class MeasuredTime:
    """By a few training steps on this CPU or GPU."""

    def __init__(self, *, device: str, batch: int) -> None:
        import torch

        if device == "cuda" and not torch.cuda.is_available():
            raise ValueError("device='cuda': there is no CUDA device here")
        self._device, self._batch = device, batch
        name = torch.cuda.get_device_name() if device == "cuda" else "this CPU"
        self.label = f"measured on {name}, batch {batch}"

    def time(self, spec: EfficientNetSpec) -> Timed:
        """Return the median over a few steps at the spec's native resolution; the error is their spread."""
        step = _training_step(spec, self._device, self._batch)
        try:
            step()
            seconds = [_clocked(step) for _ in range(MEASURED_STEPS)]
        except RuntimeError as error:  # PyTorch's word for too little memory
            raise NotTrainable(f"device={self._device}: {' '.join(str(error).split())[:200]}") from error
        middle = statistics.median(seconds)
        spread = 100 * (max(seconds) - min(seconds)) / 2 / middle
        return Timed(middle / self._batch, spread)


def _clocked(step: Any) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def _training_step(spec: EfficientNetSpec, device: str, batch: int) -> Any:
    """Return what trains on one made-up batch and waits for the device."""
    import torch

    from ipu_app.models.train_graph import TrainGraph
    from ipu_app.runtime.base import RuntimeParts, StepKnobs
    from ipu_app.runtime.optimizers import OptimizerSpec
    from ipu_app.runtime.torch_runtime import TorchRuntime, TorchSettings
    from pipelines.geometry import BatchGeometry

    graph, evaluation = _graphs(spec)
    assert isinstance(graph, TrainGraph)
    geometry = BatchGeometry(batch, 1, 1)
    parts = RuntimeParts(graph, evaluation, geometry, geometry, OptimizerSpec(kind="sgd", lr=0.01))
    runtime = TorchRuntime(parts, settings=TorchSettings(device=device))
    size = spec.native_resolution
    data = (
        torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8),
        torch.randint(0, spec.num_classes, (batch,)),
    )
    return lambda: runtime.train_batch(data, StepKnobs(lr=0.01, loss_scale=1.0))


def _graphs(spec: EfficientNetSpec) -> Any:
    from ipu_app.models.efficientnet import EfficientNet
    from ipu_app.models.train_graph import EvalGraph, TrainGraph

    model = EfficientNet(spec)
    return TrainGraph(model, num_classes=spec.num_classes), EvalGraph(model, num_classes=spec.num_classes)
