"""What a configured phase would take on IPUs, by the cost model, before anything is compiled."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Dict, Mapping, Optional

from ipu_app.config.schema import ModelConfig, PhaseConfig
from ipu_app.models.choices import Choice, candidate
from ipu_app.models.layer_table import load_layer_table
from ipu_app.models.scaling import resized
from ipu_app.models.spec import EfficientNetSpec, make_spec
from pipelines.cost.hardware import IpuTarget, conv_slowdown
from pipelines.estimate import StepEstimate, estimate_plan, memory_rejections
from pipelines.geometry import BatchGeometry
from pipelines.plan import PipelinePlan
from pipelines.table_cache import cache_folder


def phase_plan(phase: PhaseConfig) -> PipelinePlan:
    """Return the pipeline plan that a phase's splits describe."""
    pipeline = phase.pipeline
    return PipelinePlan.from_splits(pipeline.splits, schedule=pipeline.schedule, recompute=pipeline.recompute)


def configured_spec(model: ModelConfig, num_classes: int = 1000) -> EfficientNetSpec:
    """Return the network's spec: the named one, its sections as chosen, scaled.

    The other fields of the section are those of ``make_spec``.
    """
    facts = asdict(model)
    depth, width, sections = (facts.pop(key) for key in ("depth_scale", "width_scale", "sections"))
    spec = make_spec(facts.pop("name"), num_classes=num_classes, **facts)
    if sections:
        spec = candidate(spec, [Choice(**section) for section in sections])
    return resized(spec, depth=depth, width=width)


def resolutions_of(spec: EfficientNetSpec) -> Dict[str, int]:
    """Return the pixels at which the network is trained (``native``) and evaluated (``evaluation``)."""
    native = spec.native_resolution
    return {"native": native, "evaluation": spec.evaluation_resolution or native}


def estimate_phase(
    model: ModelConfig,
    phase: PhaseConfig,
    *,
    target: IpuTarget,
    environ: Mapping[str, str],
    instances: int = 1,
) -> StepEstimate:
    """Estimate images/s and memory of one phase; refuses what PopTorch would refuse of the plan."""
    batch, pipeline = phase.batch, phase.pipeline
    slowdown = conv_slowdown(pipeline.available_memory_proportion)
    return estimate_plan(
        load_layer_table(configured_spec(model), phase.resolution, cache=cache_folder(environ)),
        phase_plan(phase),
        BatchGeometry(
            batch.micro, batch.accumulation, batch.replicas // instances, batch.device_iterations, instances
        ),
        replace(target, conv_slowdown=slowdown),
        precision=pipeline.precision,
        offload_optimizer=pipeline.offload_optimizer,
    )


def memory_problem(estimate: StepEstimate, limit_bytes: Optional[float] = None) -> str:
    """Return what does not fit and the lever to pull, in one line; empty where everything fits."""
    found = memory_rejections(estimate, limit_bytes)
    return "; ".join(map(str, found))
