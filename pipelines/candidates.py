"""Seconds and bytes of every stage that a planner may make of a layer table, by sub-block, in plain lists.

The same formulas as ``pipelines.estimate``, arranged for search: the cost of a stage is a difference of
prefix sums plus what crosses its ends. A test holds the two to the same result.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import List, Optional, Sequence, Tuple

from pipelines.cost import constants
from pipelines.cost.cycles import FITTED, Calibration, LayerWork, layer_work
from pipelines.cost.hardware import IpuTarget
from pipelines.cost.layers import LayerSpec, sub_block_starts
from pipelines.cost.memory import StoragePolicy, input_bytes, kept_elements
from pipelines.cuts import Chain, Cuts
from pipelines.schedule import grouped_seconds, stash_depth

Table = List[List[float]]


@dataclass(frozen=True)
class Atom:
    """One sub-block: work of a micro-batch as a constant and a part per sample, and its sizes."""

    name: str
    forward_s: Tuple[float, float]
    backward_s: Tuple[float, float]
    params: int
    param_tensors: int
    kept_elements: int
    widest_elements: int
    in_bytes: int


def make_atoms(
    layers: Sequence[LayerSpec],
    target: IpuTarget,
    policy: StoragePolicy,
    calibration: Calibration = FITTED,
) -> Tuple[Atom, ...]:
    """Return the sub-blocks of a layer table in order."""
    starts = list(sub_block_starts(layers).values())
    spans = zip(starts, [*starts[1:], len(layers)])
    return tuple(_atom(layers[start:stop], target, policy, calibration) for start, stop in spans)


def _atom(
    layers: Sequence[LayerSpec], target: IpuTarget, policy: StoragePolicy, calibration: Calibration
) -> Atom:
    works = []
    for samples in (0.0, 1.0):  # every cost is affine in the micro-batch
        work = LayerWork()
        for layer in layers:
            work = work + layer_work(layer, target, micro_batch=samples, precision=policy.precision)
        works.append(work)
    rate = target.training_cycles_per_s
    forward = [work.forward.cycles(calibration) / rate for work in works]
    backward = [work.backward.cycles(calibration) / rate for work in works]
    return Atom(
        name=layers[0].sub_block,
        forward_s=(forward[0], forward[1] - forward[0]),
        backward_s=(backward[0], backward[1] - backward[0]),
        params=sum(layer.params for layer in layers),
        param_tensors=sum(layer.param_tensors for layer in layers),
        kept_elements=sum(map(kept_elements, layers)),
        widest_elements=max((layer.out_elements for layer in layers if layer.conv is not None), default=0),
        in_bytes=input_bytes(layers[0], policy),
    )


class Candidates:
    """Costs of all grouped, recomputed stages for one micro-batch size, from prefix sums over the
    sub-blocks.
    """

    def __init__(
        self, atoms: Sequence[Atom], target: IpuTarget, policy: StoragePolicy, micro_batch: int
    ) -> None:
        self.atoms, self.policy, self.micro_batch = atoms, policy, micro_batch
        self.forward = _prefix([a.forward_s[0] + micro_batch * a.forward_s[1] for a in atoms])
        self.backward = _prefix([a.backward_s[0] + micro_batch * a.backward_s[1] for a in atoms])
        self.params = _prefix([float(a.params) for a in atoms])
        self.update_s = _prefix([_update_cycles(atom) / target.clock_hz for atom in atoms])
        self.crossing = [micro_batch * a.in_bytes for a in atoms]
        link = target.link_bytes_per_s
        passing = [size / link for size in self.crossing[1:]]
        self.arriving = [0.0, *passing]  # at the first stage it depends on the number of stages
        self.target = target
        self.returning = [0.0, *passing, 0.0]
        self._phases: Optional[Tuple[Table, Table]] = None
        self._bytes: Optional[Table] = None

    def chain(self, num_stages: int, limit_bytes: float) -> Chain:
        """Return the partition problem of ``num_stages`` stages under a memory limit."""
        if self._phases is None:
            self._phases = self._first_phase(), self._second_phase()
        first, second = self._phases
        size = len(self.atoms)
        first_last = [self.forward[size] - self.forward[i] + self.arriving[i] for i in range(size)]
        image_s = self.image_seconds(num_stages)
        first_last[0] += image_s
        whole = [[seconds + image_s for seconds in first[0]], *first[1:]]
        return Chain(whole, second, first_last, self.reach(num_stages, limit_bytes))

    def image_seconds(self, num_stages: int) -> float:
        """Return how long a micro-batch of images takes from the host to a replica of so many stages."""
        return self.crossing[0] / self.target.host_bytes_per_s(num_stages)

    def _first_phase(self) -> Table:
        forward = self.forward
        rows = zip(forward, self.arriving)
        return [[2 * (stop - start) + arriving for stop in forward] for start, arriving in rows]

    def _second_phase(self) -> Table:
        ends = [spent + returning for spent, returning in zip(self.backward, self.returning)]
        return [[end - start for end in ends] for start in self.backward[:-1]]

    def reach(self, num_stages: int, limit_bytes: float) -> List[List[int]]:
        """Return, for each stage and start, the furthest stop at which that stage fits its IPU."""
        if self._bytes is None:
            self._bytes = [self._growth(start) for start in range(len(self.atoms))]
        rows = []
        for stage in range(num_stages):
            depth = stash_depth("grouped", stage, num_stages)
            room = [limit_bytes - depth * crossing for crossing in self.crossing]
            rows.append([start + bisect_right(table, room[start]) for start, table in enumerate(self._bytes)])
        return rows

    def _growth(self, start: int) -> List[float]:
        """Bytes of a stage from ``start``, without its stash, as sub-blocks are added."""
        element = self.policy.activation_bytes * self.micro_batch
        temporaries = element * constants.value("memory.temporaries")
        parameter = self.policy.parameter_bytes
        total, widest = 0.0, 0
        totals: List[float] = []
        for atom in self.atoms[start:]:
            total += element * atom.kept_elements + parameter * atom.params
            if atom.widest_elements > widest:
                widest = atom.widest_elements
            totals.append(total + temporaries * widest)
        return totals

    def fits(self, num_stages: int, limit_bytes: float) -> bool:
        """Whether any partition into so many stages fits."""
        size = len(self.atoms)
        starts = {0}
        for stage, reach in enumerate(self.reach(num_stages, limit_bytes)):
            last = size - (num_stages - 1 - stage)
            starts = {stop for start in starts for stop in range(start + 1, min(reach[start], last) + 1)}
            if not starts or stage == num_stages - 1:
                break
        return size in starts

    def stage_columns(self, cuts: Cuts) -> Tuple[List[float], List[float], List[float]]:
        """Return forward, recompute and backward seconds of each stage of a partition."""
        forward, recompute, backward = [], [], []
        for start, stop in zip(cuts, cuts[1:]):
            compute = self.forward[stop] - self.forward[start]
            is_redone = stop < len(self.atoms)
            forward.append(compute + self.arriving[start])
            recompute.append(compute if is_redone else 0.0)
            backward.append(self.backward[stop] - self.backward[start] + self.returning[stop])
        forward[0] += self.image_seconds(len(forward))
        return forward, recompute, backward

    def step_seconds(self, cuts: Cuts, accumulation: int, per_parameter_s: float) -> float:
        """Return the seconds of a step; ``per_parameter_s`` is paid for each parameter of the largest
        stage.
        """
        params, update_s = self.params, self.update_s
        largest = max(params[stop] - params[start] for start, stop in zip(cuts, cuts[1:]))
        update = max(update_s[stop] - update_s[start] for start, stop in zip(cuts, cuts[1:]))
        columns = self.stage_columns(cuts)
        return grouped_seconds(*columns, accumulation) + largest * per_parameter_s + update


def _update_cycles(atom: Atom) -> float:
    per_parameter = constants.value("update_cycles_per_parameter") / constants.value("tiles")
    return per_parameter * atom.params + constants.value("update_cycles_per_tensor") * atom.param_tensors


def _prefix(values: Sequence[float]) -> List[float]:
    return [0.0, *accumulate(values)]
