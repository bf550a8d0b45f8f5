"""What the measured cells would train at on a POD16, by the cost model, with a published run's plan.

Of EfficientNetV2 nobody published runs on IPUs: its cells borrow the plan of a recipe of ours.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple, Union

from benchmarks.measure.harness import significant
from ipu_app.config.load import load_config, nearest_recipe
from ipu_app.environment import read_environ
from ipu_app.models.layer_table import load_layer_table
from ipu_app.models.spec import make_spec
from ipu_app.settling.phase_estimates import phase_plan
from pipelines.cost.hardware import ipu_target
from pipelines.estimate import estimate_plan
from pipelines.geometry import BatchGeometry
from pipelines.plan import PipelinePlan
from pipelines.published import PublishedRun, published_runs
from pipelines.table_cache import cache_folder

PLATFORMS = ("mk2", "bow")


def nearest_run(model: str, group_size: int, norm: str, resolution: int) -> PublishedRun:
    """Return the published run whose plan a network may borrow: same model, nearest group size and pixels."""
    runs = [run for run in published_runs().values() if run.model == model]
    wanted = 1 if group_size == 1 else 16

    def distance(run: PublishedRun) -> Tuple[bool, int, bool]:
        return run.group_size != wanted, abs(run.resolution - resolution), run.norm != norm

    return min(runs, key=distance)


class Borrowed(NamedTuple):
    """A plan and what it was made under, as published runs have them."""

    name: str
    plan: PipelinePlan
    geometry: BatchGeometry
    precision: str
    offload_optimizer: bool
    available_memory_proportion: Tuple[float, ...]


def borrowed_plan(model: str, group_size: int, norm: str, resolution: int) -> Union[PublishedRun, Borrowed]:
    """Return the plan of the nearest published run, or of a recipe where there is no such run."""
    if any(run.model == model for run in published_runs().values()):
        return nearest_run(model, group_size, norm, resolution)
    path = nearest_recipe(model, group_size, norm)
    phase = next(iter(load_config(path).phases.values()))
    batch, pipeline = phase.batch, phase.pipeline
    return Borrowed(
        path.stem,
        phase_plan(phase),
        BatchGeometry(batch.micro, batch.accumulation, batch.replicas, batch.device_iterations, 1),
        pipeline.precision,
        pipeline.offload_optimizer,
        pipeline.available_memory_proportion,
    )


def cell_estimates(cells: Sequence[Tuple[str, int, str, int]]) -> List[Dict[str, Any]]:
    """Return estimates on 16 Mk2 and 16 Bow IPUs of (model, group size, norm, resolution) cells."""
    environ = read_environ()
    return [_cell(*cell, environ=environ) for cell in cells]


def _cell(
    model: str, group_size: int, norm: str, resolution: int, *, environ: Mapping[str, str]
) -> Dict[str, Any]:
    run = borrowed_plan(model, group_size, norm, resolution)
    spec = make_spec(model, group_size=group_size, norm=norm)
    layers = load_layer_table(spec, resolution, cache=cache_folder(environ))
    row = {"model": model, "group_size": group_size, "norm": norm, "resolution": resolution}
    row.update(kind="estimated", plan_of=run.name)
    for platform in PLATFORMS:
        target = ipu_target(platform, available_memory_proportion=run.available_memory_proportion)
        estimate = estimate_plan(
            layers,
            run.plan,
            run.geometry,
            target,
            precision=run.precision,
            offload_optimizer=run.offload_optimizer,
        )
        row[f"{platform}_images_per_s"] = significant(estimate.images_per_s)
    return row


def fit_note() -> str:
    """Say how good the estimates are on the published rows that their constants were fitted to."""
    from ipu_app.cli.planning import published_fit

    fit = published_fit(read_environ())
    return (
        f"'est.': estimated by the cost model, whose two constants were fitted to the {len(fit.rows)} "
        f"published rows of GN at native resolution. Its error on those rows: mean {fit.mean_pct:.1f} %, "
        f"worst {fit.worst_pct:.1f} % in-sample; mean {fit.left_out_mean_pct:.1f} %, worst "
        f"{fit.left_out_worst_pct:.1f} % where each model size is left out of the fit in turn. For other "
        "norms, group sizes and resolutions nothing was published to check the estimates against."
    )
