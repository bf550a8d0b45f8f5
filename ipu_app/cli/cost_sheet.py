"""What progressive learning saves: hours of each stage on given IPUs, and of training without stages.

All estimated, each size by the planner's best plan for it. No torch, but to trace a size that no one planned
before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ipu_app.cli.plan_view import print_table
from ipu_app.cli.planning import PlanReport, PlanRequest
from ipu_app.config.augment import AugmentConfig
from ipu_app.config.load import load_config, recipe_path
from ipu_app.config.phase_stages import phase_stages
from ipu_app.config.schema import ModelConfig, PhaseConfig, RunConfig
from ipu_app.config.value_checks import at_least
from ipu_app.models.layer_table import load_layer_table
from ipu_app.models.spec import EfficientNetSpec
from ipu_app.settling.phase_estimates import configured_spec, resolutions_of
from pipelines.cost.hardware import IpuTarget
from pipelines.estimate import StepEstimate
from pipelines.plan import PlannedModel
from pipelines.planner import PlanLimits, plan_pipelines
from pipelines.table_cache import cache_folder

IMAGENET_IMAGES = 1_281_167  # of the training images of ImageNet-1k


@dataclass(frozen=True)
class CostRow:
    """So many epochs at one size by its best plan; None: no plan fits."""

    what: str
    resolution: int
    epochs: int
    images: int
    estimate: Optional[StepEstimate]

    @property
    def hours(self) -> Optional[float]:
        """Of training, without validation and compilation."""
        if self.estimate is None:
            return None
        return self.images * self.epochs / self.estimate.images_per_s / 3600

    def to_dict(self) -> Dict[str, Any]:
        """Plain data for JSON."""
        facts: Dict[str, Any] = {"what": self.what, "resolution": self.resolution, "epochs": self.epochs}
        estimate = self.estimate
        if estimate is None:
            return {**facts, "kind": "estimated", "fits": False}
        return {
            **facts,
            "kind": "estimated",
            "fits": True,
            "micro_batch": estimate.geometry.micro_batch,
            "accumulation": estimate.geometry.accumulation,
            "replicas": estimate.geometry.total_replicas,
            "ipus_per_replica": estimate.plan.num_stages,
            "splits": list(estimate.plan.splits),
            "images_per_s": estimate.images_per_s,
            "error_pct": estimate.error_pct,
            "extrapolated": list(estimate.extrapolated),
            "hours": self.hours,
        }


@dataclass(frozen=True)
class CostSheet:
    """The stages, and the same number of epochs at the last size and (``half``, where it is known) at half
    resolution.
    """

    title: str
    stages: Tuple[CostRow, ...]
    whole: CostRow
    half: Optional[CostRow]

    @property
    def others(self) -> List[CostRow]:
        """The trainings that progression is compared with."""
        return [row for row in (self.whole, self.half) if row is not None]

    @property
    def hours(self) -> Optional[float]:
        """Of all stages."""
        found = [row.hours for row in self.stages]
        return None if any(hours is None for hours in found) else sum(hours or 0 for hours in found)

    @property
    def error_pct(self) -> float:
        """The largest error to expect of one of the estimates."""
        found = [row.estimate.error_pct for row in (*self.stages, *self.others) if row.estimate]
        return max(found, default=0.0)

    @property
    def extrapolated(self) -> List[str]:
        """What the estimates reckon with and nobody published."""
        rows = (*self.stages, *self.others)
        return list(dict.fromkeys(name for row in rows if row.estimate for name in row.estimate.extrapolated))

    def to_dict(self) -> Dict[str, Any]:
        """Plain data for JSON."""
        return {
            "kind": "estimated",
            "stages": [row.to_dict() for row in self.stages],
            "hours": self.hours,
            "without_progression": self.whole.to_dict(),
            "half_resolution": self.half.to_dict() if self.half else None,
            "error_pct": self.error_pct,
            "extrapolated": self.extrapolated,
        }


def cost_sheet(
    config: RunConfig,
    *,
    limits: PlanLimits,
    target: IpuTarget,
    images: int,
    environ: Mapping[str, str],
) -> CostSheet:
    """Plan each stage of a run's first phase, which is progressive, and what it is compared with."""
    at_least("images", images, 1)
    name, phase = next(iter(config.phases.items()))
    spec = configured_spec(config.model)
    native = spec.native_resolution
    stages = phase_stages(config, name, **resolutions_of(spec))
    planned: Dict[int, Optional[StepEstimate]] = {}

    def row(what: str, resolution: int, epochs: int) -> CostRow:
        if resolution not in planned:
            planned[resolution] = _best(spec, resolution, limits, target, environ)
        return CostRow(what, resolution, epochs, images, planned[resolution])

    rows = [
        row(f"stage {stage.number} of {stage.count}", stage.phase.resolution or native, stage.num_epochs)
        for stage in stages
    ]
    last, half = phase.resolution or native, spec.half_resolution
    title = (
        f"{spec.name.upper()} G{spec.group_size} {spec.norm}, {phase.epochs} epochs of {images} images, "
        f"global batch {limits.global_batch} on {limits.num_ipus} IPUs"
    )
    whole = row("without progression", last, phase.epochs)
    return CostSheet(title, tuple(rows), whole, row("half resolution", half, phase.epochs) if half else None)


def _best(
    spec: EfficientNetSpec, resolution: int, limits: PlanLimits, target: IpuTarget, environ: Mapping[str, str]
) -> Optional[StepEstimate]:
    """The planner's best plan at this size; None where none fits."""
    layers = load_layer_table(spec, resolution, cache=cache_folder(environ))
    ranked = plan_pipelines(layers, target, limits, top=1).ranked
    return ranked[0].estimate if ranked else None


def cost_sheet_of(request: PlanRequest, report: PlanReport) -> Optional[CostSheet]:
    """Return the sheet of a progressive run, asked for or a recipe's own; None for any other."""
    config = progressive_run(request.run_name, report.model, request.progressive, request.epochs)
    if config is None:
        for name in ("epochs", "images"):
            if getattr(request, name) is not None:
                raise ValueError(
                    f"{name}={getattr(request, name)}: is for the cost sheet of progressive learning; add "
                    "--progressive paper or released"
                )
        return None
    best = report.best
    limits = PlanLimits(
        num_ipus=best.plan.num_stages * best.geometry.total_replicas,
        global_batch=best.geometry.samples_per_step,
        memory_limit_bytes=request.memory_limit_bytes,
        precision=report.model.precision,
        offload_optimizer=report.model.offload_optimizer,
    )
    images = IMAGENET_IMAGES if request.images is None else request.images
    return cost_sheet(
        config, limits=limits.on(best.target), target=best.target, images=images, environ=request.environ
    )


def progressive_run(
    recipe: Optional[str], model: PlannedModel, rule: Optional[str], epochs: Optional[int]
) -> Optional[RunConfig]:
    """Return the progressive run that a sheet is asked for: a recipe's, or one of ``model``; None: no such.

    ``rule`` None is the recipe's own.
    """
    if recipe is None:
        if rule is None:
            return None
        phase = PhaseConfig("train", epochs=350, augment=AugmentConfig(mixing="v2"))
        section = ModelConfig(name=model.name, group_size=model.group_size, norm=model.norm)
        config = RunConfig(model=section, phases={"train": phase})
        if model.resolution != configured_spec(section).native_resolution:
            phase = replace(phase, resolution=model.resolution)
    else:
        config = load_config(recipe_path(recipe))
        phase = next(iter(config.phases.values()))
    phase = replace(phase, epochs=phase.epochs if epochs is None else epochs)
    if rule is not None:
        phase = replace(phase, progressive=replace(phase.progressive, rule=rule))
    return replace(config, phases={phase.name: phase}) if phase.progressive.is_on else None


def print_cost_sheet(sheet: CostSheet) -> None:
    """Show the sheet; every figure is an estimate."""
    total = sheet.hours
    rows = [_cells(row) for row in sheet.stages]
    rows.append(["all stages", "", "", "", "", "", _hours(total), ""])
    for row in sheet.others:
        saved = "" if total is None or row.hours is None else _saved(row.hours - total, row.hours)
        rows.append([*_cells(row)[:-1], saved])
    head = ["what", "px", "epochs", "micro", "IPUs x replicas", "images/s", "hours", "saved by stages"]
    print_table(f"progressive learning, estimated: {sheet.title}", head, rows)
    doubt = f"; outside what was published: {', '.join(sheet.extrapolated)}" if sheet.extrapolated else ""
    print(
        f"Each size by its best plan. Error to expect of a rate: {sheet.error_pct:.0f} %{doubt}.\n"
        "Hours are of training alone."
    )


def _cells(row: CostRow) -> List[str]:
    if row.estimate is None:
        return [row.what, str(row.resolution), str(row.epochs), "-", "-", "no plan fits", "-", ""]
    geometry = row.estimate.geometry
    layout = f"{row.estimate.plan.num_stages} x {geometry.total_replicas}"
    rate = f"{row.estimate.images_per_s:.0f}"
    micro = str(geometry.micro_batch)
    return [row.what, str(row.resolution), str(row.epochs), micro, layout, rate, _hours(row.hours), ""]


def _hours(hours: Optional[float]) -> str:
    return "-" if hours is None else f"{hours:.1f}"


def _saved(hours: float, of: float) -> str:
    return f"{hours:.1f} h ({100 * hours / of:.0f} %)"
