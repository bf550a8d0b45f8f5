"""What ``plan`` finds out: from a model's name or a recipe to layer table, plans and plain figures. No torch.

Torch is imported only to trace a model that no one planned before (``ipu_app.models.layer_table``).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ipu_app.models.layer_table import load_layer_table
from ipu_app.models.spec import EfficientNetSpec, make_spec
from pipelines.cost.hardware import ipu_target
from pipelines.cost.layers import LayerTable
from pipelines.cost.memory import Rejection
from pipelines.estimate import StepEstimate, memory_rejections
from pipelines.fit import FitCase, FitReport, fit_report, make_case
from pipelines.plan import PlannedModel, SavedPlan
from pipelines.planner import PlanLimits, RankedPlan, plan_pipelines
from pipelines.published import PublishedRun, published_runs, published_throughputs
from pipelines.table_cache import cache_folder


@dataclass(frozen=True)
class PlanReport:
    """Plans for one model, the first one the best (or the recipe's own), and what does not fit."""

    title: str
    model: PlannedModel
    plans: Tuple[RankedPlan, ...]
    rejected: Tuple[Rejection, ...]
    limit_bytes: float

    @property
    def best(self) -> StepEstimate:
        """The plan that is saved, drawn and described."""
        return self.plans[0].estimate

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
            "fits": not memory_rejections(self.best, self.limit_bytes),
            "others": others,
            "rejected": [asdict(rejection) for rejection in self.rejected],
        }


def estimate_facts(estimate: StepEstimate) -> Dict[str, Any]:
    """Return an estimate as plain data for JSON; ``replicas`` are those of the whole job."""
    geometry = estimate.geometry
    return {
        "kind": "estimated",
        "images_per_s": estimate.images_per_s,
        "error_pct": estimate.error_pct,
        "extrapolated": list(estimate.extrapolated),
        "platform": estimate.platform,
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


def search_report(
    spec: EfficientNetSpec,
    limits: PlanLimits,
    *,
    resolution: Optional[int],
    platform: str,
    top: int,
    environ: Mapping[str, str],
) -> PlanReport:
    """Search the best plans of a model."""
    target = ipu_target(platform)
    layers = load_layer_table(spec, resolution, cache=cache_folder(environ))
    search = plan_pipelines(layers, target, limits, top=top)
    model = _planned_model(spec, resolution, limits.precision, limits.offload_optimizer)
    where = f"{limits.num_ipus} {_PLATFORM_NAMES[platform]} IPUs, global batch {limits.global_batch}"
    return PlanReport(
        f"{_model_title(model)} on {where}", model, search.ranked, search.rejected, limits.limit_bytes
    )


def recipe_report(
    name: str, *, platform: str, memory_limit_bytes: Optional[float], environ: Mapping[str, str]
) -> PlanReport:
    """Estimate the plan that a recipe of ``configs/recipes`` trains its first phase with."""
    from ipu_app.config.load import load_config, recipe_path
    from ipu_app.settling.phase_estimates import configured_spec, estimate_phase

    config = load_config(recipe_path(name))
    phase = next(iter(config.phases.values()))
    pipeline = phase.pipeline
    estimate = estimate_phase(config.model, phase, platform=platform, environ=environ)
    limits = PlanLimits(
        num_ipus=estimate.plan.num_stages * estimate.geometry.total_replicas,
        memory_limit_bytes=memory_limit_bytes,
    )
    spec = configured_spec(config.model)
    model = _planned_model(spec, phase.resolution, pipeline.precision, pipeline.offload_optimizer)
    return PlanReport(
        title=f"recipe {name}: {_model_title(model)} on {limits.num_ipus} {_PLATFORM_NAMES[platform]} IPUs",
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
            proportions = run.available_memory_proportion
            target = ipu_target(row.platform, available_memory_proportion=proportions)
            cases.append(make_case(run, row.images_per_s, published_layers(run, environ), target))
    return fit_report(cases)


_PLATFORM_NAMES = {"mk2": "Mk2", "bow": "Bow"}


def _planned_model(
    spec: EfficientNetSpec, resolution: Optional[int], precision: str, offload_optimizer: bool
) -> PlannedModel:
    size = spec.native_resolution if resolution is None else resolution
    return PlannedModel(spec.name, spec.group_size, spec.norm, size, precision, offload_optimizer)


def _model_title(model: PlannedModel) -> str:
    return f"{model.name.upper()} G{model.group_size} {model.norm}, {model.resolution} px, {model.precision}"
