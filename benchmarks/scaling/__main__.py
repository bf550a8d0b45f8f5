"""From a POD16 to a POD256 on paper: weak and strong scaling of B0, B4 and B7 by the cost model.

``python -m benchmarks.scaling`` writes ``benchmarks/results/scaling.json``, ``.md`` and ``.png``. Everything
is estimated, but for the published Bow rows that the estimates are held against; nothing is measured.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from benchmarks.measure.results import FOLDER
from benchmarks.scaling.markdown import KINDS, LINEAR_ABOVE, to_markdown
from ipu_app.cli.planning import estimate_facts, published_layers
from ipu_app.environment import read_environ
from ipu_app.models.layer_table import load_layer_table
from ipu_app.models.spec import make_spec
from pipelines.cost.hardware import PLATFORMS, IpuTarget, ipu_target
from pipelines.cost.layers import LayerTable
from pipelines.estimate import StepEstimate, estimate_plan
from pipelines.geometry import BatchGeometry
from pipelines.plan import PipelinePlan
from pipelines.planner import MAX_IPUS_PER_INSTANCE, PlanLimits, plan_pipelines
from pipelines.published import published_run, published_throughputs
from pipelines.schedule import steady_seconds
from pipelines.table_cache import cache_folder

MODELS = ("b0", "b4", "b7")
PODS = (16, 32, 64, 128, 256)
GLOBAL_BATCH = 768


@dataclass(frozen=True)
class Point:
    """One size of one curve: its estimate, or why it cannot be made.

    ``parts_s`` are the seconds of a step by what they go to (``step_parts``); ``efficiency`` is images/s per
    IPU over that of the smallest size; ``limit`` is the part to which most of the loss goes.
    """

    model: str
    platform: str
    kind: str
    ipus: int
    estimate: Optional[StepEstimate] = None
    parts_s: Optional[Mapping[str, float]] = None
    efficiency: Optional[float] = None
    limit: str = ""

    def to_dict(self) -> Dict[str, Any]:
        """Return plain data for JSON; a size that cannot be made has only its reason, as ``limit``."""
        row: Dict[str, Any] = {
            "model": self.model,
            "platform": self.platform,
            "scaling": self.kind,
            "ipus": self.ipus,
            "limit": self.limit,
            "estimate": None,
        }
        if self.estimate is not None and self.parts_s is not None:
            facts = estimate_facts(self.estimate)
            row["estimate"] = {name: fact for name, fact in facts.items() if name != "stages"}
            row["efficiency"] = self.efficiency
            row["min_accumulation"] = self.estimate.plan.min_accumulation
            row["parts_s"] = dict(self.parts_s)
            row["range_images_per_s"] = list(allreduce_range(self.estimate))
        return row


@dataclass(frozen=True)
class Curves:
    """What is estimated together: one model's layer table on one platform."""

    model: str
    layers: LayerTable
    target: IpuTarget

    def points(self, pods: Sequence[int] = PODS) -> List[Point]:
        """Return the curves of all kinds over sizes of the job; efficiency refers to the first one."""
        base = self._best(pods[0])
        makers: Tuple[Callable[[int], StepEstimate], ...] = (
            lambda ipus: self._weak(base, ipus),
            lambda ipus: self._strong(base, ipus),
            self._best,
        )
        return [self._point(kind, ipus, make, base) for kind, make in zip(KINDS, makers) for ipus in pods]

    def _best(self, ipus: int) -> StepEstimate:
        """The planner's best plan for the global batch on so many IPUs."""
        return plan_pipelines(self.layers, self.target, PlanLimits(ipus, GLOBAL_BATCH), top=1).best

    def _weak(self, base: StepEstimate, ipus: int) -> StepEstimate:
        """The first size's plan, micro-batch and accumulation, on more replicas."""
        return self._spread(base, ipus, base.geometry.accumulation)

    def _strong(self, base: StepEstimate, ipus: int) -> StepEstimate:
        """The first size's plan and micro-batch, with the accumulation that the same global batch leaves."""
        per_step = base.geometry.micro_batch * (ipus // base.plan.num_stages)
        accumulation, rest = divmod(GLOBAL_BATCH, per_step)
        if rest or accumulation < base.plan.min_accumulation:
            raise ValueError(
                f"cannot be made: accumulation would be {GLOBAL_BATCH / per_step:.3g}, "
                f"this pipeline needs {base.plan.min_accumulation} or more"
            )
        return self._spread(base, ipus, accumulation)

    def _spread(self, base: StepEstimate, ipus: int, accumulation: int) -> StepEstimate:
        instances = max(1, ipus // MAX_IPUS_PER_INSTANCE)
        geometry = BatchGeometry(
            base.geometry.micro_batch,
            accumulation,
            ipus // base.plan.num_stages // instances,
            instances=instances,
        )
        return estimate_plan(self.layers, base.plan, geometry, self.target)

    def _point(self, kind: str, ipus: int, make: Callable[[int], StepEstimate], base: StepEstimate) -> Point:
        try:
            estimate = make(ipus)
        except ValueError as error:
            return Point(self.model, self.target.name, kind, ipus, limit=str(error))
        parts = step_parts(estimate, self.layers, self.target)
        per_ipu = [found.images_per_s / num_ipus(found) for found in (estimate, base)]
        return Point(
            self.model,
            self.target.name,
            kind,
            ipus,
            estimate,
            parts,
            per_ipu[0] / per_ipu[1],
            _limit(estimate, parts, base, step_parts(base, self.layers, self.target)),
        )


def allreduce_range(estimate: StepEstimate) -> Tuple[float, float]:
    """Return images/s if the all-reduce had half, and twice, the bandwidth that is assumed."""
    reduce_s = estimate.time.allreduce_s
    samples = estimate.geometry.samples_per_step
    return samples / (estimate.step_s + reduce_s), samples / (estimate.step_s - reduce_s / 2)


def num_ipus(estimate: StepEstimate) -> int:
    """Return the IPUs of the whole job."""
    return estimate.plan.num_stages * estimate.geometry.total_replicas


def step_parts(estimate: StepEstimate, layers: LayerTable, target: IpuTarget) -> Dict[str, float]:
    """Return the seconds of a step by what they go to; they add up to the step.

    ``host link`` is what an endless bandwidth from the host would save, ``waits`` is the mean stage's waiting
    for the slowest one while the pipeline is full, ``compute`` is the rest: forward, recomputation, backward
    and the exchange between stages.
    """
    endless = replace(target, machine_host_bytes_per_s=float("inf"))
    free = estimate_plan(layers, estimate.plan, estimate.geometry, endless)
    steady = steady_seconds([stage.times for stage in free.stages], free.plan.schedule)
    parts = {
        "waits": free.idle_fraction * steady * free.geometry.accumulation,
        "bubble": free.time.bubble_s,
        "all-reduce": estimate.time.allreduce_s,
        "weight update": estimate.time.update_s,
        "host link": estimate.time.pipeline_s - free.time.pipeline_s,
    }
    return {"compute": estimate.step_s - sum(parts.values()), **parts}


def _limit(
    estimate: StepEstimate, parts: Mapping[str, float], base: StepEstimate, base_parts: Mapping[str, float]
) -> str:
    """Name the part whose IPU-time per image grew most since the first size."""
    if estimate.images_per_s / num_ipus(estimate) >= LINEAR_ABOVE * base.images_per_s / num_ipus(base):
        return "compute"
    per_image = num_ipus(estimate) / estimate.geometry.samples_per_step
    base_per_image = num_ipus(base) / base.geometry.samples_per_step
    growth = {name: parts[name] * per_image - base_parts[name] * base_per_image for name in parts}
    worst = max(growth, key=lambda name: growth[name])
    return "compute (small micro-batches)" if worst == "compute" else worst


def model_points(
    name: str, environ: Mapping[str, str], *, platforms: Sequence[str] = PLATFORMS, pods: Sequence[int] = PODS
) -> List[Point]:
    """Return all curves of one model, with groups of 16, layer norm and proxy norm at its own resolution."""
    spec = make_spec(name, group_size=16, norm="ln_pn")
    layers = load_layer_table(spec, cache=cache_folder(environ))
    return [p for platform in platforms for p in Curves(name, layers, ipu_target(platform)).points(pods)]


def published_check(environ: Mapping[str, str]) -> List[Dict[str, Any]]:
    """Return the only published scaling, three Bow rows of B4 at global batch 6144, beside its estimates."""
    layers = published_layers(published_run("b4-g16-gn-native"), environ)
    rows: List[Dict[str, Any]] = []
    for row in published_throughputs():
        if row.platform == "bow":
            instances = max(1, row.devices // MAX_IPUS_PER_INSTANCE)
            replicas = row.devices // 2
            geometry = BatchGeometry(3, 2048 // replicas, replicas // instances, instances=instances)
            plan = PipelinePlan.from_splits(["block4a"])
            target = ipu_target("bow", framework="tf1")
            found = estimate_plan(layers, plan, geometry, target, precision="16.16")
            rows.append(
                {
                    "ipus": row.devices,
                    "published_images_per_s": row.images_per_s,
                    "estimated_images_per_s": found.images_per_s,
                }
            )
    return rows


def write_results(points: Sequence[Point], check: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write the points as JSON, tables and picture."""
    from benchmarks.scaling.picture import draw_scaling

    folder.mkdir(parents=True, exist_ok=True)
    rows = [point.to_dict() for point in points]
    data = {"kind": "estimated", "global_batch": GLOBAL_BATCH, "rows": rows, "published_check": list(check)}
    (folder / "scaling.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    (folder / "scaling.md").write_text(to_markdown(rows, check, GLOBAL_BATCH), encoding="utf-8")
    draw_scaling(rows, folder / "scaling.png", GLOBAL_BATCH)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Estimate all curves and write them."""
    parser = argparse.ArgumentParser(prog="scaling", description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder for scaling.json, .md and .png")
    args = parser.parse_args(argv)
    environ = read_environ()
    points: List[Point] = []
    for name in MODELS:
        points += model_points(name, environ)
        print(f"{name}: estimated", file=sys.stderr)
    write_results(points, published_check(environ), args.output)
    print(args.output / "scaling.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
