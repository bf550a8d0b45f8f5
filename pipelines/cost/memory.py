"""Bytes that one pipeline stage keeps on its IPU, as far as tensors can be counted.

Counted are parameters with their optimiser state, the activations that the backward pass needs, the stashed
stage inputs and temporaries. Code, exchange buffers and what the compiler rearranges are not: they took the
other 400 to 600 MB of the published runs. So the limit is a coarse rule, a line above all published runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence

from pipelines.cost import constants
from pipelines.cost.layers import LayerSpec

_PARAMETER_BYTES = {"16.32": 16, "16.16": 8, "32.32": 16}
_OFFLOADED_BYTES = {"16.32": 8, "16.16": 4, "32.32": 8}
OFFLOAD_TRAFFIC_BYTES = 24  # per parameter and step: 12 B read and written


@dataclass(frozen=True)
class StoragePolicy:
    """What is kept where: ``precision`` of activations.weights, optimiser state off chip or not,
    recomputation.
    """

    precision: str = "16.32"
    offload_optimizer: bool = False
    recompute: bool = True

    def __post_init__(self) -> None:
        if self.precision not in _PARAMETER_BYTES:
            raise ValueError(
                f"precision={self.precision!r}: choose one of {', '.join(sorted(_PARAMETER_BYTES))}"
            )

    @property
    def parameter_bytes(self) -> int:
        """On-chip bytes of one parameter: weight, working copy, accumulated gradient, optimiser state."""
        return (_OFFLOADED_BYTES if self.offload_optimizer else _PARAMETER_BYTES)[self.precision]

    @property
    def activation_bytes(self) -> int:
        """Bytes of one activation element."""
        return 4 if self.precision.startswith("32") else 2

    @property
    def gradient_bytes(self) -> int:
        """Bytes of one element of the all-reduced gradient."""
        return 2 if self.precision == "16.16" else 4


@dataclass(frozen=True)
class StageMemory:
    """Counted bytes of one stage on its IPU."""

    parameter_bytes: int
    activation_bytes: int
    stash_bytes: int
    temporary_bytes: int

    @property
    def total_bytes(self) -> int:
        """Everything that is counted."""
        return self.parameter_bytes + self.activation_bytes + self.stash_bytes + self.temporary_bytes

    @property
    def total_mb(self) -> float:
        """``total_bytes`` in millions of bytes."""
        return self.total_bytes / 1e6


@dataclass(frozen=True)
class Rejection:
    """Why a plan does not fit: what it demands, what there is, and what to do about it."""

    what: str
    demand: float
    limit: float
    unit: str
    lever: str

    def __str__(self) -> str:
        return f"{self.what}: {self.demand:.0f} {self.unit} of {self.limit:.0f} {self.unit}; {self.lever}"


def kept_elements(layer: LayerSpec) -> int:
    """Return the elements of one sample that this layer leaves for the backward pass."""
    if layer.conv is not None and layer.conv.out_pixels > 1:
        return int(constants.value("memory.copies_per_conv")) * layer.out_elements
    return layer.out_elements if layer.kind == "scale" else 0


def input_bytes(first: LayerSpec, policy: StoragePolicy) -> int:
    """Return the bytes of one sample that enter a stage beginning with ``first``."""
    return first.live_elements * (1 if first.kind == "input" else policy.activation_bytes)


def stage_memory(
    layers: Sequence[LayerSpec], policy: StoragePolicy, *, micro_batch: int, stash_depth: int
) -> StageMemory:
    """Return the counted bytes of a stage that holds ``stash_depth`` micro-batches in flight."""
    element = policy.activation_bytes * micro_batch
    widest = max((layer.out_elements for layer in layers if layer.conv is not None), default=0)
    copies = 1 if policy.recompute else stash_depth
    return StageMemory(
        parameter_bytes=policy.parameter_bytes * sum(layer.params for layer in layers),
        activation_bytes=copies * element * sum(map(kept_elements, layers)),
        stash_bytes=stash_depth * micro_batch * input_bytes(layers[0], policy),
        temporary_bytes=int(constants.value("memory.temporaries")) * element * widest,
    )


def check_fit(memory: StageMemory, limit_bytes: float, *, stage: str) -> Optional[Rejection]:
    """Return None if the stage fits, else demand, limit and the lever that acts on its largest part."""
    if memory.total_bytes <= limit_bytes:
        return None
    levers = {
        memory.parameter_bytes: "offload the optimiser state, 16.16, or one more IPU per replica",
        memory.activation_bytes: "smaller micro-batch, recomputation, or one more IPU per replica",
        memory.stash_bytes: "smaller micro-batch, or fewer stages",
        memory.temporary_bytes: "smaller micro-batch or resolution",
    }
    lever = levers[max(levers)]
    return Rejection(f"stage {stage}", memory.total_mb, limit_bytes / 1e6, "MB", lever)
