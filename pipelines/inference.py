"""What inference would take on IPUs: images per second, latency and the largest micro-batch, from shapes.

The forward pass of the training model without what inference leaves out: drop-connect, loss, recomputation,
gradients, update. Batch norm costs nothing, as it is folded into the convolutions; other norms cost what
they do in training. One IPU a replica where the network fits. With I/O tiles the next images arrive while
these are computed; PopTorch refuses that in a pipeline. The framework's share in training is not applied:
the device repeats its program by itself. Estimates, never measured.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

from pipelines.confidence import expected_error_pct, inference_parts
from pipelines.cost import constants
from pipelines.cost.cycles import PassWork, check_precision, layer_work
from pipelines.cost.hardware import IpuTarget, check_num_ipus
from pipelines.cost.layers import LayerSpec, LayerTable, slice_stages, sub_block_starts
from pipelines.cost.memory import StoragePolicy, input_bytes
from pipelines.plan import PipelinePlan

MAX_IO_TILES = 192  # PopTorch's bounds of numIOTiles
MIN_IO_TILES = 32
THROUGHPUT_IO_TILES = 32
THROUGHPUT_ITERATIONS = 128
_LEFT_OUT = ("drop_connect", "loss")


@dataclass(frozen=True)
class InferenceStage:
    """One stage on one IPU, for one micro-batch: computing, and what arrives from the host or before."""

    first: str
    ipu: int
    forward_cycles: float
    compute_s: float
    arriving_s: float
    is_overlapped: bool
    memory_bytes: float

    @property
    def slot_s(self) -> float:
        """How long the stage takes for one micro-batch in a full pipeline."""
        if self.is_overlapped:
            return max(self.compute_s, self.arriving_s)
        return self.compute_s + self.arriving_s

    @property
    def memory_mb(self) -> float:
        """Counted megabytes: weights, and the widest tensor of the micro-batch."""
        return self.memory_bytes / 1e6


@dataclass(frozen=True)
class InferenceEstimate:
    """Estimate of inference by ``replicas`` of a plan. ``micro_batch_max``: the largest that should fit; 0:
    not even one image does.
    """

    plan: PipelinePlan
    micro_batch: int
    micro_batch_max: int
    replicas: int
    io_tiles: int
    precision: str
    stages: Tuple[InferenceStage, ...]
    image_bytes: int
    error_pct: float
    extrapolated: Tuple[str, ...]
    target: IpuTarget

    @property
    def slot_s(self) -> float:
        """Seconds between two micro-batches of one replica."""
        return max(stage.slot_s for stage in self.stages)

    @property
    def images_per_s(self) -> float:
        """Images per second of all replicas, as many as the hosts' links carry."""
        return self.replicas * self.micro_batch / self.slot_s

    @property
    def latency_ms(self) -> float:
        """From the images' leaving the host to the results' being there, without the host's part of a call.

        A pipeline passes a micro-batch on once per slot. It is never said to answer sooner than one IPU with
        I/O tiles would: the tiles that those take from computing are far below the error.
        """
        compute_s = sum(stage.compute_s for stage in self.stages)
        if len(self.stages) == 1:
            return _to_ms(compute_s + self.stages[0].arriving_s)
        alone_s = compute_s / _compute_share(THROUGHPUT_IO_TILES)
        alone_s += self.micro_batch * self.image_bytes / self.target.host_bytes_per_s(1)
        return _to_ms(max(len(self.stages) * self.slot_s, alone_s))

    @property
    def call_ms(self) -> float:
        """A synchronous call with one micro-batch, as the host sees it."""
        return self.latency_ms + 1e3 * constants.value("host_call_s")

    @property
    def fits(self) -> bool:
        """Whether the micro-batch is no larger than the largest that should fit."""
        return self.micro_batch <= self.micro_batch_max

    @property
    def is_host_bound(self) -> bool:
        """Whether the images' arriving takes longer than the slowest stage's computing."""
        return self.stages[0].arriving_s > max(stage.compute_s for stage in self.stages)

    @property
    def host_bytes_per_s(self) -> float:
        """What all replicas take from the hosts, in bytes of decoded images per second."""
        return self.images_per_s * self.image_bytes

    @property
    def device_iterations(self) -> int:
        """Micro-batches of one call: many for throughput, the stages of a pipeline at the least."""
        return max(THROUGHPUT_ITERATIONS if self.io_tiles else 1, self.plan.num_stages)

    def describe(self) -> str:
        """Return one line: what it means, how fast, how sure."""
        extra = f", extrapolated: {' '.join(self.extrapolated)}" if self.extrapolated else ""
        return (
            f"estimated inference, {self.target.describe()}: {self.images_per_s:.0f} images/s, "
            f"latency {self.latency_ms:.2f} ms (expected error up to {self.error_pct:.0f} %{extra}), "
            f"micro-batch {self.micro_batch} of at most {self.micro_batch_max}"
        )


def estimate_inference(
    layers: Sequence[LayerSpec],
    plan: PipelinePlan,
    target: IpuTarget,
    *,
    micro_batch: int = 1,
    replicas: int = 1,
    io_tiles: int = 0,
    precision: str = "16.16",
) -> InferenceEstimate:
    """Return the estimate of inference by a plan; refuses I/O tiles in a pipeline, as PopTorch does."""
    _check(plan, micro_batch, replicas, io_tiles, precision)
    tables = slice_stages(layers, [stage.first for stage in plan.stages])
    policy = StoragePolicy(precision)
    stages = [
        _stage(index, table, plan, target, policy, micro_batch, io_tiles)
        for index, table in enumerate(tables)
    ]
    parts = inference_parts(layers, target, num_stages=plan.num_stages, precision=precision)
    return InferenceEstimate(
        plan=plan,
        micro_batch=micro_batch,
        micro_batch_max=_largest_micro_batch(tables, policy, io_tiles),
        replicas=replicas,
        io_tiles=io_tiles,
        precision=precision,
        stages=tuple(stages),
        image_bytes=input_bytes(layers[0], policy),
        error_pct=expected_error_pct(parts, family="inference"),
        extrapolated=tuple(part.name for part in parts),
        target=target,
    )


@dataclass(frozen=True)
class InferenceWishes:
    """What inference is planned for; what is None is chosen. ``is_latency``: one image at a time, soon."""

    num_ipus: int = 1
    is_latency: bool = False
    micro_batch: Optional[int] = None
    num_stages: Optional[int] = None
    splits: Optional[Tuple[str, ...]] = None
    io_tiles: Optional[int] = None
    precision: str = "16.16"

    def __post_init__(self) -> None:
        check_num_ipus(self.num_ipus)
        check_precision(self.precision)
        fixed = self.fixed_stages
        if self.splits is not None and self.num_stages not in (None, fixed):
            raise ValueError(f"stages={self.num_stages}: {len(self.splits)} splits make {fixed} stages")
        if fixed is not None and (fixed < 1 or fixed & (fixed - 1) or fixed > self.num_ipus):
            allowed = ", ".join(map(str, self.depths_allowed))
            raise ValueError(f"stages={fixed}: must be one of {allowed} on {self.num_ipus} IPUs")

    @property
    def fixed_stages(self) -> Optional[int]:
        """The number of stages, where it is given."""
        return self.num_stages if self.splits is None else len(self.splits) + 1

    @property
    def depths_allowed(self) -> List[int]:
        """Every number of stages that so many IPUs allow."""
        return [2**k for k in range(self.num_ipus.bit_length())]

    def tiles(self, num_stages: int) -> int:
        """I/O tiles of a plan: those that are given, or the usual ones for throughput on one IPU."""
        if self.io_tiles is not None:
            return self.io_tiles
        return 0 if self.is_latency or num_stages > 1 else THROUGHPUT_IO_TILES


def plan_inference(
    layers: Sequence[LayerSpec], target: IpuTarget, wishes: InferenceWishes
) -> InferenceEstimate:
    """Return the estimate of what one would run.

    For throughput: the largest micro-batch that fits, I/O beside computing; for latency: one image. One IPU
    a replica; where the network does not fit, or the wishes say so, a pipeline cut for its slowest stage.
    """
    fixed = wishes.fixed_stages
    depths = wishes.depths_allowed if fixed is None else [fixed]
    tried: List[InferenceEstimate] = []
    for depth in depths:
        tried.append(_of_depth(layers, target, wishes, depth))
        if tried[-1].micro_batch_max >= 1:
            break
    return tried[-1]


def _of_depth(
    layers: Sequence[LayerSpec], target: IpuTarget, wishes: InferenceWishes, depth: int
) -> InferenceEstimate:
    plan = _plan(layers, target, depth, wishes)
    tables = slice_stages(layers, [stage.first for stage in plan.stages])
    tiles = wishes.tiles(depth)
    largest = _largest_micro_batch(tables, StoragePolicy(wishes.precision), tiles)
    chosen = 1 if wishes.is_latency else max(1, largest)
    return estimate_inference(
        layers,
        plan,
        target,
        micro_batch=chosen if wishes.micro_batch is None else wishes.micro_batch,
        replicas=wishes.num_ipus // depth,
        io_tiles=tiles,
        precision=wishes.precision,
    )


def folded(layers: Sequence[LayerSpec]) -> LayerTable:
    """Return what inference computes: no drop-connect, no loss, batch norm folded into the convolutions."""
    return tuple(
        layer
        for layer in layers
        if layer.kind not in _LEFT_OUT and not (layer.kind == "norm" and layer.norm_groups == 0)
    )


def _stage(
    index: int,
    table: Sequence[LayerSpec],
    plan: PipelinePlan,
    target: IpuTarget,
    policy: StoragePolicy,
    micro_batch: int,
    io_tiles: int,
) -> InferenceStage:
    work = PassWork()
    for layer in folded(table):
        work += layer_work(layer, target, micro_batch=micro_batch, precision=policy.precision).forward
    cycles = work.cycles()
    link = target.link_bytes_per_s if index else target.host_bytes_per_s(plan.num_stages)
    return InferenceStage(
        first=table[0].sub_block,
        ipu=index,
        forward_cycles=cycles,
        compute_s=cycles / (target.device_cycles_per_s * _compute_share(io_tiles)),
        arriving_s=micro_batch * input_bytes(table[0], policy) / link,
        is_overlapped=io_tiles > 0,
        memory_bytes=_weight_bytes(table, policy) + micro_batch * _widest_bytes(table, policy),
    )


def _largest_micro_batch(tables: Sequence[LayerTable], policy: StoragePolicy, io_tiles: int) -> int:
    whole = constants.value("tiles") * constants.value("tile_bytes")
    sizes: List[int] = []
    for table in tables:
        room = _compute_share(io_tiles) * constants.value("memory.inference_widest_bytes")
        has_room = _weight_bytes(table, policy) <= constants.value("memory.inference_weight_share") * whole
        sizes.append(int(room // max(1, _widest_bytes(table, policy))) if has_room else 0)
    return min(sizes)


def _to_ms(seconds: float) -> float:
    """Milliseconds, to the nanosecond, so that equal times are equal."""
    return round(1e3 * seconds, 6)


def _compute_share(io_tiles: int) -> float:
    """The share of an IPU's tiles that compute beside so many for I/O."""
    return 1.0 - io_tiles / constants.value("tiles")


def _weight_bytes(table: Sequence[LayerSpec], policy: StoragePolicy) -> int:
    return policy.activation_bytes * sum(layer.params for layer in table)


def _widest_bytes(table: Sequence[LayerSpec], policy: StoragePolicy) -> int:
    widest = max((layer.out_elements for layer in table if layer.conv is not None), default=0)
    return policy.activation_bytes * widest


def _check(plan: PipelinePlan, micro_batch: int, replicas: int, io_tiles: int, precision: str) -> None:
    check_precision(precision)
    check_num_ipus(plan.num_stages * replicas)
    if micro_batch < 1:
        raise ValueError(f"micro={micro_batch}: must be 1 or more")
    if io_tiles and (not MIN_IO_TILES <= io_tiles <= MAX_IO_TILES or io_tiles % 2):
        raise ValueError(
            f"io_tiles={io_tiles}: must be 0, or an even number {MIN_IO_TILES} to {MAX_IO_TILES}"
        )
    if io_tiles and plan.num_stages > 1:
        raise ValueError(
            f"io_tiles={io_tiles}: PopTorch overlaps I/O without a pipeline only; this one has "
            f"{plan.num_stages} stages"
        )


def _plan(
    layers: Sequence[LayerSpec], target: IpuTarget, depth: int, wishes: InferenceWishes
) -> PipelinePlan:
    names = list(sub_block_starts(layers))
    if wishes.splits is not None:
        return PipelinePlan.from_splits(wishes.splits, first=names[0])
    if depth > len(names):
        raise ValueError(f"stages={depth}: the model has {len(names)} sub-blocks to cut at")
    costs = [0.0] * len(names)
    where = {name: index for index, name in enumerate(names)}
    for layer in folded(layers):
        work = layer_work(layer, target, micro_batch=1, precision=wishes.precision).forward
        costs[where[layer.sub_block]] += work.cycles()
    return PipelinePlan.from_splits([names[cut] for cut in even_cuts(costs, depth)], first=names[0])


def even_cuts(costs: Sequence[float], num_parts: int) -> List[int]:
    """Return where the second and later of so many parts start, so that the largest is smallest."""
    size = len(costs)
    total = [0.0]
    for cost in costs:
        total.append(total[-1] + cost)
    best = [0.0] + [math.inf] * size
    origins: List[List[int]] = []
    for _ in range(num_parts):
        ends, origin = [math.inf] * (size + 1), [0] * (size + 1)
        for stop in range(1, size + 1):
            for start in range(stop):
                longest = max(best[start], total[stop] - total[start])
                if longest < ends[stop]:
                    ends[stop], origin[stop] = longest, start
        best = ends
        best[0] = math.inf
        origins.append(origin)
    cuts, stop = [], size
    for origin in reversed(origins):
        stop = origin[stop]
        cuts.append(stop)
    return cuts[::-1][1:]
