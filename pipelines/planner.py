"""Search for the best plan: stages x replicas x micro-batch x accumulation x cuts, under PopTorch's rules
and memory.

For every number of stages (a power of two) and every micro-batch that the global batch allows, the cuts
with the best bottleneck come from ``partition`` and are refined for the whole step by ``refine``. The
schedule is PopTorch's for training: grouped, with recomputation where there is more than one stage. What
does not fit is returned too, with what it demands and what would help.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Dict, List, Optional, Sequence, Tuple

from pipelines.candidates import Atom, Candidates, make_atoms
from pipelines.cost import constants
from pipelines.cost.hardware import MAX_IPUS, IpuTarget, allreduce_bytes_per_s, check_num_ipus
from pipelines.cost.layers import LayerSpec
from pipelines.cost.memory import OFFLOAD_TRAFFIC_BYTES, Rejection, StoragePolicy
from pipelines.cuts import Cuts, trade_offs
from pipelines.estimate import StepEstimate, estimate_plan
from pipelines.geometry import BatchGeometry
from pipelines.plan import PipelinePlan
from pipelines.refine import refine

MAX_IPUS_PER_INSTANCE = 64  # PopTorch attaches no more from one process
_SEARCHED_STAGES = (
    8  # of deeper pipelines there are too many partitions to rule out; their cuts are only moved
)
_RESTARTED_STAGES = 16  # up to here cuts are moved from every trade-off, not only from the best one
_SPARE_PLANS = 2  # refined beyond those that are asked for, as refining may change the order


@dataclass(frozen=True)
class Shape:
    """A way to spread the global batch: stages, replicas of the job, micro-batch and accumulation."""

    num_stages: int
    replicas: int
    micro_batch: int
    accumulation: int


@dataclass(frozen=True)
class PlanLimits:
    """What a plan may use. ``memory_limit_bytes`` None is what is known to run on the target; ``max_nodes``
    bounds the search. ``num_stages`` and ``micro_batch`` fix what is not None.
    """

    num_ipus: int
    global_batch: int = 768
    memory_limit_bytes: Optional[float] = None
    precision: str = "16.32"
    offload_optimizer: bool = False
    max_nodes: int = 20_000
    num_stages: Optional[int] = None
    micro_batch: Optional[int] = None

    def __post_init__(self) -> None:
        check_num_ipus(self.num_ipus)
        if self.global_batch < 1:
            raise ValueError(f"global_batch={self.global_batch}: must be 1 or more")
        whole = whole_memory_bytes()
        if self.memory_limit_bytes is not None and not 0 < self.memory_limit_bytes <= whole:
            asked = f"memory_limit={self.memory_limit_bytes / 1e6:g} MB"
            raise ValueError(f"{asked}: must be above 0, and at most the {_floor_mb(whole)} MB of an IPU")
        check_fixed_shape(self)

    def admits(self, shape: Shape) -> bool:
        """Whether a shape has the stages and the micro-batch that were fixed."""
        return shape.num_stages == (self.num_stages or shape.num_stages) and shape.micro_batch == (
            self.micro_batch or shape.micro_batch
        )

    @property
    def limit_bytes(self) -> float:
        """Counted bytes that one IPU may hold; ``on`` fills in what is left open."""
        assert self.memory_limit_bytes is not None, "limits are made for a target first"
        return self.memory_limit_bytes

    def on(self, target: IpuTarget) -> PlanLimits:
        """Return the same limits with the memory limit of a target where none was set."""
        if self.memory_limit_bytes is not None:
            return self
        return replace(self, memory_limit_bytes=target.memory_limit_bytes)

    @property
    def policy(self) -> StoragePolicy:
        """How tensors are stored."""
        return StoragePolicy(self.precision, self.offload_optimizer)

    @property
    def instances(self) -> int:
        """Host processes that so many IPUs need."""
        return max(1, self.num_ipus // MAX_IPUS_PER_INSTANCE)


def whole_memory_bytes() -> float:
    """Return the memory of one IPU; programs and buffers, which nothing here counts, need their share."""
    return constants.value("tiles") * constants.value("tile_bytes")


def _floor_mb(size: float) -> str:
    """Megabytes with the first decimal, rounded down: what is printed is allowed."""
    return f"{int(size / 1e5) / 10:.1f}"


def check_fixed_shape(limits: PlanLimits) -> None:
    """Refuse a number of stages or a micro-batch that no plan has."""
    if limits.num_stages is not None:
        stages, most = limits.num_stages, min(limits.num_ipus, MAX_IPUS_PER_INSTANCE)
        if stages < 1 or stages & (stages - 1) or stages > most:
            allowed = ", ".join(str(2**k) for k in range(most.bit_length()))
            raise ValueError(f"stages={stages}: must be one of {allowed} on {limits.num_ipus} IPUs")
    if limits.micro_batch is not None and limits.micro_batch < 1:
        raise ValueError(f"micro={limits.micro_batch}: must be 1 or more")


@dataclass(frozen=True)
class RankedPlan:
    """One plan of a search; ``is_optimal``: no other cuts of the same shape are faster, by the estimate."""

    estimate: StepEstimate
    is_optimal: bool


@dataclass(frozen=True)
class PlanSearch:
    """Plans from the fastest down, the best of each shape, and why others were left out."""

    ranked: Tuple[RankedPlan, ...]
    rejected: Tuple[Rejection, ...]
    num_shapes: int

    @property
    def best(self) -> StepEstimate:
        """The fastest plan."""
        return self.ranked[0].estimate


@dataclass(frozen=True)
class _Found:
    shape: Shape
    candidates: Candidates
    cuts: Cuts
    step_s: float
    is_optimal: bool = False


def plan_pipelines(
    layers: Sequence[LayerSpec], target: IpuTarget, limits: PlanLimits, *, top: int = 5
) -> PlanSearch:
    """Return the ``top`` fastest plans, each of another shape, and what was rejected.

    Refuses a global batch that no shape makes, and a model that fits nowhere, with the nearest that would do.
    """
    if top < 1:
        raise ValueError(f"top={top}: must be 1 or more")
    limits = limits.on(target)
    atoms = make_atoms(layers, target, limits.policy)
    shapes = legal_shapes(limits, len(atoms))
    if not shapes:
        raise ValueError(no_shape(limits, len(atoms)))
    search = _Planner(atoms, target, limits, top)
    search.run(shapes)
    if not search.found:
        raise ValueError(_fits_nowhere(search.rejected, limits, search))
    ranked = [
        RankedPlan(_estimate(layers, target, limits, found), found.is_optimal) for found in search.best()
    ]
    return PlanSearch(tuple(ranked), tuple(search.rejected), len(shapes))


def legal_shapes(limits: PlanLimits, num_atoms: int) -> List[Shape]:
    """Return every shape that PopTorch's rules allow: product equal to the global batch, accumulation >= 2S
    - 1.
    """
    shapes = []
    num_stages = 1
    while num_stages <= min(limits.num_ipus, num_atoms, MAX_IPUS_PER_INSTANCE):
        replicas = limits.num_ipus // num_stages
        per_replica, rest = divmod(limits.global_batch, replicas)
        if rest == 0:
            for micro_batch in _divisors(per_replica):
                if per_replica // micro_batch >= 2 * num_stages - 1:
                    shapes.append(Shape(num_stages, replicas, micro_batch, per_replica // micro_batch))
        num_stages *= 2
    return [shape for shape in shapes if limits.admits(shape)]


def _divisors(number: int) -> List[int]:
    small = [d for d in range(1, int(number**0.5) + 1) if number % d == 0]
    return sorted({*small, *(number // d for d in small)})


class _Planner:
    """The state of one search: what was found, what was rejected."""

    def __init__(self, atoms: Sequence[Atom], target: IpuTarget, limits: PlanLimits, top: int) -> None:
        self.atoms, self.target, self.limits, self.top = atoms, target, limits, top
        self.candidates: Dict[int, Candidates] = {}
        self.found: List[_Found] = []
        self.rejected: List[Rejection] = []

    def run(self, shapes: Sequence[Shape]) -> None:
        """Try all shapes, those with the best lower bound first; skip those that cannot be among the best."""
        fitting = [(self._floor_s(shape), shape) for shape in self._fitting(shapes)]
        for floor_s, shape in sorted(fitting, key=lambda pair: pair[0]):
            known = sorted(found.step_s for found in self.found)
            wanted = self.top + _SPARE_PLANS
            if len(known) < wanted or floor_s < known[wanted - 1]:
                self._try(shape)

    def best(self) -> List[_Found]:
        """Refine the fastest ones and return as many as are wanted."""
        fastest = sorted(self.found, key=lambda found: found.step_s)[: self.top + _SPARE_PLANS]
        refined = [self._refine(found) for found in fastest]
        return sorted(refined, key=lambda found: found.step_s)[: self.top]

    def would_fit(self, limits: PlanLimits) -> bool:
        """Whether any shape would fit under other limits."""
        costs = {1: Candidates(self.atoms, self.target, limits.policy, 1)}
        for shape in legal_shapes(limits, len(self.atoms)):
            size = shape.micro_batch
            if size not in costs:
                costs[size] = Candidates(self.atoms, self.target, limits.policy, size)
            if costs[size].fits(shape.num_stages, limits.limit_bytes):
                return True
        return False

    def _fitting(self, shapes: Sequence[Shape]) -> List[Shape]:
        """Keep the shapes that fit; note, for each number of stages, the smallest micro-batch that does
        not.
        """
        fitting: List[Shape] = []
        refused = 0
        for shape in sorted(shapes, key=lambda shape: (shape.num_stages, shape.micro_batch)):
            if shape.num_stages == refused:
                continue
            if self._candidates(shape).fits(shape.num_stages, self.limits.limit_bytes):
                fitting.append(shape)
            else:
                refused = shape.num_stages
                self.rejected.append(self._reject(shape))
        return fitting

    def _candidates(self, shape: Shape) -> Candidates:
        if shape.micro_batch not in self.candidates:
            made = Candidates(self.atoms, self.target, self.limits.policy, shape.micro_batch)
            self.candidates[shape.micro_batch] = made
        return self.candidates[shape.micro_batch]

    def _reject(self, shape: Shape) -> Rejection:
        limit = self.limits.limit_bytes
        demand = least_memory_bytes(self._candidates(shape), shape.num_stages)
        if shape.micro_batch > 1:
            lever = f"micro-batch under {shape.micro_batch}, or more stages"
        else:
            lever = "more stages (more IPUs per replica), offloaded optimiser state, or a lower resolution"
        what = f"{shape.num_stages} stages, micro-batch {shape.micro_batch}"
        return Rejection(what, demand / 1e6, limit / 1e6, "MB", lever)

    def _floor_s(self, shape: Shape) -> float:
        """A lower bound on the step: work spread evenly, the last stage not recomputed, nothing else."""
        costs = self._candidates(shape)
        stages = shape.num_stages
        ends = range(1, len(self.atoms))  # the last sub-block is in the last stage, which is not recomputed
        widest = max(costs.forward[k] - costs.forward[k - 1] for k in ends)
        first = max(
            2 * costs.forward[-1] / (stages + 1), 2 * widest if stages > len(self.atoms) // 2 else 0.0
        )
        second = costs.backward[-1] / stages
        return (shape.accumulation - stages + 1) * first + shape.accumulation * second

    def _try(self, shape: Shape) -> None:
        candidates = self._candidates(shape)
        chain = candidates.chain(shape.num_stages, self.limits.limit_bytes)
        timed = [(self._step_s(shape, candidates, cuts), cuts) for cuts in trade_offs(chain)]
        step_s, cuts = min(timed)
        self.found.append(_Found(shape, candidates, cuts, step_s))

    def _refine(self, found: _Found) -> _Found:
        shape, candidates = found.shape, found.candidates
        chain = candidates.chain(shape.num_stages, self.limits.limit_bytes)
        cuts, is_optimal = refine(
            chain,
            trade_offs(chain) if shape.num_stages <= _RESTARTED_STAGES else [found.cuts],
            lambda cuts: self._step_s(shape, candidates, cuts),
            accumulation=shape.accumulation,
            max_nodes=self.limits.max_nodes if shape.num_stages <= _SEARCHED_STAGES else 0,
        )
        return _Found(shape, candidates, cuts, self._step_s(shape, candidates, cuts), is_optimal)

    def _step_s(self, shape: Shape, candidates: Candidates, cuts: Cuts) -> float:
        replicas = shape.replicas
        policy = self.limits.policy
        ring = 2 * (replicas - 1) / replicas * policy.gradient_bytes
        per_parameter_s = ring / allreduce_bytes_per_s(self.limits.num_ipus)
        if policy.offload_optimizer:
            per_parameter_s += OFFLOAD_TRAFFIC_BYTES / self.target.streaming_bytes_per_s
        return candidates.step_seconds(cuts, shape.accumulation, per_parameter_s)


def least_memory_bytes(candidates: Candidates, num_stages: int) -> float:
    """Return the smallest limit under which any partition into so many stages fits, to a megabyte."""
    low, high = 0.0, 1e6
    while not candidates.fits(num_stages, high):
        low, high = high, 2 * high
    while high - low > 1e6:
        middle = (low + high) / 2
        low, high = (low, middle) if candidates.fits(num_stages, middle) else (middle, high)
    return high


def _estimate(
    layers: Sequence[LayerSpec], target: IpuTarget, limits: PlanLimits, found: _Found
) -> StepEstimate:
    names = [atom.name for atom in found.candidates.atoms]
    plan = PipelinePlan.from_splits([names[cut] for cut in found.cuts[1:-1]], first=names[0])
    shape = found.shape
    geometry = BatchGeometry(
        micro_batch=shape.micro_batch,
        accumulation=shape.accumulation,
        replicas=shape.replicas // limits.instances,
        instances=limits.instances,
    )
    return estimate_plan(
        layers,
        plan,
        geometry,
        target,
        precision=limits.precision,
        offload_optimizer=limits.offload_optimizer,
    )


def no_shape(limits: PlanLimits, num_atoms: int) -> str:
    """Say which global batches near the one that was asked for can be made."""
    nearest: List[int] = []
    step = limits.micro_batch or 1
    for distance in range(1, limits.global_batch + 4 * step * limits.num_ipus):
        for batch in (limits.global_batch - distance, limits.global_batch + distance):
            if batch > 0 and legal_shapes(replace(limits, global_batch=batch), num_atoms):
                nearest.append(batch)
        if len(nearest) >= 2:
            break
    fixed = "".join(
        f" with {name}={value},"
        for name, value in (("stages", limits.num_stages), ("micro", limits.micro_batch))
        if value is not None
    )
    return (
        f"global_batch={limits.global_batch}: cannot be made on {limits.num_ipus} IPUs{fixed} of micro-batch "
        f"x accumulation x replicas, accumulation >= 2 stages - 1; nearest: {' or '.join(map(str, nearest))}"
    )


def _fits_nowhere(rejected: Sequence[Rejection], limits: PlanLimits, search: _Planner) -> str:
    """Say what comes nearest to fitting, and what would make it fit."""
    nearest = min(rejected, key=lambda rejection: rejection.demand)
    return (
        f"memory_limit={limits.limit_bytes / 1e6:.0f} MB: the model fits nowhere; nearest is {nearest.what}, "
        f"which needs {nearest.demand:.0f} MB of counted tensors per IPU; what would fit: "
        f"{' or '.join(_remedies(nearest, limits, search)) or 'a lower resolution or a smaller model'}"
    )


def _remedies(nearest: Rejection, limits: PlanLimits, search: _Planner) -> List[str]:
    """Return the changes of one setting, each tried, with which some shape fits."""
    found = []
    if not limits.offload_optimizer and search.would_fit(replace(limits, offload_optimizer=True)):
        found.append("offloaded optimiser state")
    num_ipus = 2 * limits.num_ipus
    while num_ipus <= MAX_IPUS and not search.would_fit(replace(limits, num_ipus=num_ipus)):
        num_ipus *= 2
    if num_ipus <= MAX_IPUS:
        found.append(f"ipus={num_ipus}")
    if 1e6 * nearest.demand <= whole_memory_bytes():
        found.append(f"memory_limit={nearest.demand + 1:.0f} MB")
    return found
