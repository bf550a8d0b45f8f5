"""What ``plan`` finds out: from a model's name or a recipe to layer table, plans and plain figures. No torch.

Torch is imported only to trace a model that no one planned before (``ipu_app.models.layer_table``).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ipu_app.models.layer_table import load_layer_table
from ipu_app.models.spec import EfficientNetSpec, make_spec
from pipelines.cost.hardware import (
    DEFAULT_FRAMEWORK,
    DEFAULT_SDK,
    PAPER_FRAMEWORK,
    PAPER_SDK,
    IpuTarget,
    ipu_target,
    paper_target,
)
from pipelines.cost.layers import LayerTable
from pipelines.cost.memory import Rejection
from pipelines.estimate import StepEstimate, memory_rejections
from pipelines.fit import FitCase, FitReport, fit_report, make_case
from pipelines.fixed_plans import plans_with_cuts
from pipelines.hints import hints, needs_last_of_limit
from pipelines.known_runs import KnownRun, fullest_known
from pipelines.plan import PlannedModel, SavedPlan
from pipelines.planner import PlanLimits, PlanSearch, RankedPlan, plan_pipelines
from pipelines.published import PublishedRun, published_runs, published_throughputs
from pipelines.table_cache import cache_folder

VARIED = ("group", "norm", "res", "ipus", "global_batch", "stages", "micro")


@dataclass(frozen=True)
class PlanRequest:
    """What the command line asks for. ``chosen``: a list of values for each of ``VARIED``, one for the rest;
    ``given`` names those that were typed.
    """

    chosen: Dict[str, Any]
    given: Tuple[str, ...]
    run_name: Optional[str]
    platform: str
    sdk: Optional[str]
    framework: Optional[str]
    memory_limit_bytes: Optional[float]
    plot: Optional[Path]
    save: Optional[Path]
    as_json: bool
    environ: Mapping[str, str]
    progressive: Optional[str] = None
    epochs: Optional[int] = None
    images: Optional[int] = None

    def cases(self) -> List[Dict[str, Any]]:
        """Return one mapping from setting to value for each combination that was asked for."""
        values = [self.chosen[name] for name in VARIED]
        return [{**self.chosen, **dict(zip(VARIED, row))} for row in product(*values)]

    @property
    def varied(self) -> Tuple[str, ...]:
        """The settings with several values."""
        return tuple(name for name in VARIED if len(self.chosen[name]) > 1)

    def target(self, *, is_paper: bool = False) -> IpuTarget:
        """Return machine and software; what was not given is the paper's, or what trains here."""
        sdk, framework = (PAPER_SDK, PAPER_FRAMEWORK) if is_paper else (DEFAULT_SDK, DEFAULT_FRAMEWORK)
        return ipu_target(self.platform, sdk=self.sdk or sdk, framework=self.framework or framework)


def case_spec(case: Mapping[str, Any]) -> EfficientNetSpec:
    """Return the network of one combination."""
    return make_spec(case["model"], group_size=case["group"], norm=case["norm"])


def case_limits(request: PlanRequest, case: Mapping[str, Any]) -> PlanLimits:
    """Return what a plan of one combination may use."""
    return PlanLimits(
        num_ipus=case["ipus"],
        global_batch=case["global_batch"],
        memory_limit_bytes=request.memory_limit_bytes,
        precision=case["precision"],
        offload_optimizer=case["offload_optimizer"],
        num_stages=case["stages"],
        micro_batch=case["micro"],
    )


@dataclass(frozen=True)
class PlanReport:
    """Plans for one model, the first one the best (or the recipe's own), and what does not fit.

    ``hints`` are sentences that should be known beside the first plan; ``command`` makes the same again.
    """

    title: str
    model: PlannedModel
    plans: Tuple[RankedPlan, ...]
    rejected: Tuple[Rejection, ...]
    limit_bytes: float
    hints: Tuple[str, ...] = ()
    command: str = ""

    @property
    def best(self) -> StepEstimate:
        """The plan that is saved, drawn and described."""
        return self.plans[0].estimate

    @property
    def known(self) -> KnownRun:
        """The fullest configuration that is known to run on the same software generation."""
        return fullest_known(self.best.target.sdk)

    @property
    def saved(self) -> SavedPlan:
        """What ``--save`` writes."""
        return SavedPlan(self.best.plan, self.best.geometry, self.model, estimate_facts(self.best))

    def to_dict(self) -> Dict[str, Any]:
        """Return the best plan's figures, with the model, the other plans and the rejections beside them."""
        others = [{**estimate_facts(p.estimate), "is_optimal": p.is_optimal} for p in self.plans[1:]]
        return {
            **estimate_facts(self.best),
            "is_optimal": self.plans[0].is_optimal,
            "model": asdict(self.model),
            "memory_limit_mb": self.limit_bytes / 1e6,
            "known_to_run_mb": self.known.counted_mb,
            "fits": not memory_rejections(self.best, self.limit_bytes),
            "needs_last_of_limit": needs_last_of_limit(self.best, self.limit_bytes),
            "hints": list(self.hints),
            "others": others,
            "rejected": [asdict(rejection) for rejection in self.rejected],
        }


def estimate_facts(estimate: StepEstimate) -> Dict[str, Any]:
    """Return an estimate as plain data for JSON; ``replicas`` are those of the whole job."""
    geometry = estimate.geometry
    return {
        "kind": "estimated",
        "phase": "training",
        "images_per_s": estimate.images_per_s,
        "error_pct": estimate.error_pct,
        "extrapolated": list(estimate.extrapolated),
        "platform": estimate.platform,
        "sdk": estimate.target.sdk,
        "framework": estimate.target.framework,
        "meaning": estimate.meaning,
        "micro_batch": geometry.micro_batch,
        "accumulation": geometry.accumulation,
        "replicas": geometry.total_replicas,
        "instances": geometry.instances,
        "global_batch": geometry.samples_per_step,
        "ipus_per_replica": estimate.plan.num_stages,
        "splits": list(estimate.plan.splits),
        "schedule": estimate.plan.schedule,
        "bubble_fraction": estimate.bubble_fraction,
        "idle_fraction": estimate.idle_fraction,
        "step_s": estimate.step_s,
        "step_parts_s": {
            "pipeline": estimate.time.pipeline_s,
            "allreduce": estimate.time.allreduce_s,
            "update": estimate.time.update_s,
            "offload": estimate.time.offload_s,
        },
        "stages": [
            {
                "first": stage.first,
                "ipu": stage.ipu,
                "memory_mb": stage.memory.total_mb,
                "cycles_forward": round(stage.forward_cycles),
                "cycles_backward": round(stage.backward_cycles),
            }
            for stage in estimate.stages
        ],
    }


def search_report(request: PlanRequest, case: Mapping[str, Any]) -> PlanReport:
    """Search the best plans of a model, or estimate those whose cuts are given."""
    spec, limits, target = case_spec(case), case_limits(request, case), request.target()
    limits = limits.on(target)
    layers = load_layer_table(spec, case["res"], cache=cache_folder(request.environ))
    search = find_plans(layers, target, limits, case)
    model = planned_model(spec, case["res"], limits.precision, limits.offload_optimizer)
    best = search.best
    return PlanReport(
        title=f"{model_title(model)} on {limits.num_ipus} IPUs, global batch {limits.global_batch}",
        model=model,
        plans=search.ranked,
        rejected=search.rejected,
        limit_bytes=limits.limit_bytes,
        hints=hints(layers, target, limits, best) if case["splits"] is None else (),
        command=_command(request),
    )


def find_plans(
    layers: LayerTable, target: IpuTarget, limits: PlanLimits, case: Mapping[str, Any], top: int = 0
) -> PlanSearch:
    """Return the plans of one combination: with the cuts that are given, or the best ones."""
    top = top or case["top"]
    if case["splits"] is not None:
        return plans_with_cuts(layers, target, limits, case["splits"], top=top)
    return plan_pipelines(layers, target, limits, top=top)


def _command(request: PlanRequest) -> str:
    """The words that make the first plan again, to be saved."""
    words = ["plan"]
    for name in request.given:
        value = request.chosen[name]
        flag = f"--{name.replace('_', '-')}"
        values = [] if value is True else value if isinstance(value, list) else [value]
        words += [flag, *map(str, values)]
    return " ".join(words)


def recipe_report(request: PlanRequest) -> PlanReport:
    """Estimate the plan that a recipe of ``configs/recipes`` trains its first phase with, its last stage.

    A published run is estimated on the software that it was published on, any other on what it would run on.
    """
    from ipu_app.config.load import load_config, recipe_path
    from ipu_app.config.phase_stages import phase_stages
    from ipu_app.settling.phase_estimates import configured_spec, estimate_phase, resolutions_of

    name = str(request.run_name)
    config = load_config(recipe_path(name))
    spec, first = configured_spec(config.model), next(iter(config.phases))
    phase = phase_stages(config, first, **resolutions_of(spec))[-1].phase
    pipeline = phase.pipeline
    target = request.target(is_paper=name.lower() in published_runs())
    estimate = estimate_phase(config.model, phase, target=target, environ=request.environ)
    num_ipus = estimate.plan.num_stages * estimate.geometry.total_replicas
    limits = PlanLimits(num_ipus, memory_limit_bytes=request.memory_limit_bytes).on(target)
    model = planned_model(spec, phase.resolution, pipeline.precision, pipeline.offload_optimizer)
    return PlanReport(
        title=f"recipe {name}: {model_title(model)} on {num_ipus} IPUs",
        model=model,
        plans=(RankedPlan(estimate, is_optimal=False),),
        rejected=memory_rejections(estimate, limits.limit_bytes),
        limit_bytes=limits.limit_bytes,
    )


def published_layers(run: PublishedRun, environ: Mapping[str, str]) -> LayerTable:
    """Return the layer table of a published run."""
    spec = make_spec(run.model, group_size=run.group_size, norm=run.norm)
    return load_layer_table(spec, run.resolution, cache=cache_folder(environ))


def published_fit(environ: Mapping[str, str], folder: Optional[Path] = None) -> FitReport:
    """Refit the cost model on every published IPU throughput of a published run."""
    places: List[Path] = [] if folder is None else [folder]
    runs = published_runs(*places)
    cases: List[FitCase] = []
    for row in published_throughputs(*places):
        if row.platform == "mk2" and row.case in runs:
            run = runs[row.case]
            target = paper_target(run.available_memory_proportion)
            cases.append(make_case(run, row.images_per_s, published_layers(run, environ), target))
    return fit_report(cases)


def planned_model(
    spec: EfficientNetSpec, resolution: Optional[int], precision: str, offload_optimizer: bool = False
) -> PlannedModel:
    """Return what a plan is made for."""
    size = spec.native_resolution if resolution is None else resolution
    return PlannedModel(spec.name, spec.group_size, spec.norm, size, precision, offload_optimizer)


def model_title(model: PlannedModel) -> str:
    """Return a network, its resolution and precision in words."""
    return f"{model.name.upper()} G{model.group_size} {model.norm}, {model.resolution} px, {model.precision}"
