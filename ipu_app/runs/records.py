"""The end of a run: evaluation at several resolutions, summary, pictures and report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence

from ipu_app.config.schema import RunConfig
from ipu_app.distributed.comm import Comm
from ipu_app.inference.trained import ModelFile, TrainedModel
from ipu_app.inference.validate import Validation, validate_at
from ipu_app.training.metrics import class_accuracy
from ipu_app.training.plots import plot_curves
from ipu_app.training.report import worst_classes, write_report
from ipu_app.training.rundir import RunDir, write_json
from ipu_app.training.sinks import Row, Sink, read_rows
from ipu_app.training.trainer import RunSummary
from pipelines.cost import constants
from pipelines.estimate import StepEstimate


@dataclass(frozen=True)
class Place:
    """Where a run takes place: the kind of device, the processes of the job, the environment."""

    device: str
    comm: Comm
    environ: Mapping[str, str]


def evaluate_resolutions(
    config: RunConfig, file: ModelFile, summary: RunSummary, place: Place
) -> List[Validation]:
    """Classify the validation images at each of ``evaluate.resolutions`` with the run's last weights.

    At the last phase's resolution that is what its last validation did already.
    """
    averages = list(config.phases.values())[-1].averaging > 0
    trained = TrainedModel(file, summary.weights, "averaged weights" if averages else "weights")
    return [
        _last_validation(trained, summary)
        if resolution == file.resolution
        else validate_at(
            resolution, trained, config, device=place.device, comm=place.comm, environ=place.environ
        )
        for resolution in config.evaluate.resolutions
    ]


def _last_validation(trained: TrainedModel, summary: RunSummary) -> Validation:
    val, classes = summary.val, trained.file.classes
    return Validation(
        resolution=trained.file.resolution,
        top1=val["top1"],
        top5=val["top5"],
        loss=val["loss"],
        samples=int(val["samples"]),
        weights=trained.origin,
        notes=(),
        classes={classes[label]: share for label, share in class_accuracy(summary.confusion).items()},
    )


def evaluation_row(found: Validation, summary: RunSummary, *, averaged: bool) -> Row:
    """Return the row of ``metrics.jsonl`` on one resolution."""
    return {
        "kind": "evaluate",
        "phase": "evaluate",
        "epoch": float(summary.epochs),
        "step": summary.steps,
        "time_s": round(summary.train_seconds, 3),
        "loss": found.loss,
        "top1": found.top1,
        "top5": found.top5,
        "samples": found.samples,
        "resolution": found.resolution,
        "averaged": averaged,
    }


def results(summary: RunSummary, evaluations: Sequence[Row], classes: Sequence[str]) -> Dict[str, Any]:
    """Return what ``summary.json`` says of a run's outcome.

    ``images_per_s`` is that of the first phase trained, which the estimate is for; ``images_per_s_of`` has
    each phase's.
    """
    return {
        "epochs": summary.epochs,
        "steps": summary.steps,
        "val_top1": summary.val.get("top1"),
        "val_top5": summary.val.get("top5"),
        "val_loss": summary.val.get("loss"),
        "val_images": summary.val.get("samples"),
        "evaluations": [
            {key: row[key] for key in ("resolution", "top1", "top5", "loss", "samples")}
            for row in evaluations
        ],
        "worst_classes": worst_classes(summary.confusion, classes),
        "images_per_s": next(iter(summary.images_per_s.values()), None),
        "images_per_s_of": dict(summary.images_per_s),
        "images_per_s_is": summary.rate_label,
        "train_seconds": round(summary.train_seconds, 2),
    }


def estimate_record(estimate: Optional[StepEstimate]) -> Optional[Dict[str, Any]]:
    """Return what ``summary.json`` says of the plan; every figure is the cost model's estimate."""
    if estimate is None:
        return None
    return {
        "images_per_s": round(estimate.images_per_s, 1),
        "memory_mb": [round(value, 1) for value in estimate.memory_mb],
        "bubble_fraction": round(estimate.bubble_fraction, 4),
        "error_pct": estimate.error_pct,
        "platform": estimate.platform,
        "text": estimate.describe(),
    }


def write_results(run_dir: RunDir, record: Mapping[str, Any], estimate: Optional[StepEstimate]) -> None:
    """Write summary, curves, the plan's picture and the page that holds them all."""
    write_json(run_dir.summary, record)
    plot_curves(read_rows(run_dir.metrics), run_dir.curves, title=run_dir.path.name)
    if estimate is not None:
        from pipelines.timeline import draw_timeline

        limit_bytes = constants.value("memory.default_limit_bytes")
        draw_timeline(estimate, run_dir.plan_picture, title=run_dir.path.name, limit_bytes=limit_bytes)
    write_report(run_dir)


def report_evaluations(
    sink: Sink, found: Sequence[Validation], summary: RunSummary, config: RunConfig
) -> List[Row]:
    """Tell the sinks of the evaluations; return their rows."""
    averaged = list(config.phases.values())[-1].averaging > 0
    rows = [evaluation_row(validation, summary, averaged=averaged) for validation in found]
    for row in rows:
        sink.row(row)
    return rows
