"""The evaluation that ends a run: its last weights at each of ``evaluate.resolutions``."""

from __future__ import annotations

from typing import List, Sequence

from ipu_app.config.schema import RunConfig
from ipu_app.inference.trained import ModelFile, TrainedModel
from ipu_app.inference.validate import Validation, validate_at
from ipu_app.runs.place import Place
from ipu_app.training.metrics import class_accuracy
from ipu_app.training.sinks import Row, Sink
from ipu_app.training.trainer import RunSummary


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


def report_evaluations(
    sink: Sink, found: Sequence[Validation], summary: RunSummary, config: RunConfig
) -> List[Row]:
    """Tell the sinks of the evaluations; return their rows."""
    averaged = list(config.phases.values())[-1].averaging > 0
    rows = [evaluation_row(validation, summary, averaged=averaged) for validation in found]
    for row in rows:
        sink.row(row)
    return rows
