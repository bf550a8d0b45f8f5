"""What a run leaves and says at its end, from results alone: summary, pictures, report, last lines."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

import torch

from ipu_app.settling.settle import SettledRun
from ipu_app.training.plots import plot_curves
from ipu_app.training.run_report import worst_classes, write_report
from ipu_app.training.rundir import RunDir, write_json
from ipu_app.training.sinks import Row, read_rows
from ipu_app.training.trainer import RunSummary
from pipelines.estimate import StepEstimate
from pipelines.words import counted


def run_record(run: SettledRun, start: Mapping[str, Any]) -> Dict[str, Any]:
    """Return what ``summary.json`` says of the set-up of a run.

    ``resolution`` and ``global_batch`` are those of the phase that begins, ``phases`` has them for each;
    ``start`` is where its weights came from.
    """
    config, first = run.config, run.first
    native = first.spec.native_resolution
    info, model = first.info, config.model
    return {
        "device": info.device,
        "backend": info.backend,
        "description": info.description,
        "model_is": first.model_description,
        "model": model.name,
        "group_size": model.group_size,
        "norm": model.norm,
        "resolution": first.resolution,
        "dataset": run.data.description if run.data else "",
        "seed": config.seed,
        "global_batch": first.geometry.samples_per_step,
        "phases": {
            name: {
                "epochs": phase.epochs,
                "resolution": phase.resolution or native,
                "global_batch": phase.batch.global_batch,
            }
            for name, phase in config.phases.items()
        },
        "start": dict(start),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
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

        limit_bytes = estimate.target.memory_limit_bytes
        draw_timeline(estimate, run_dir.plan_picture, title=run_dir.path.name, limit_bytes=limit_bytes)
    write_report(run_dir)


def closing_lines(record: Dict[str, Any], summary: RunSummary, path: Path) -> List[str]:
    """Return the last lines of a run."""
    lines = []
    if summary.val:
        lines.append(
            f"validation top-1 {summary.val['top1']:.2%} on {summary.val['samples']:.0f} images "
            f"after {counted(summary.epochs, 'epoch')} ({record['dataset']})"
        )
    rates = {name: value for name, value in summary.images_per_s.items() if value is not None}
    for name, value in rates.items():
        phase = f"{name}: " if len(summary.images_per_s) > 1 else ""
        lines.append(f"{phase}{value:.1f} images/s, {summary.rate_label}")
    lines.append(f"written: {path} (report.html, summary.json, metrics.jsonl, checkpoints/)")
    return lines
