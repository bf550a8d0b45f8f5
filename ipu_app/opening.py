"""What a run says first and last: what is simulated, which data, what is measured; and the record of it."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any, Dict, List, Mapping

import torch

from ipu_app.config.schema import PhaseConfig, RunConfig
from ipu_app.estimates import estimate_phase, memory_problem
from ipu_app.training.trainer import PhaseSession, RunSummary


def opening_lines(config: RunConfig, session: PhaseSession, reason: str) -> List[str]:
    """Return the first lines of a run, for a person."""
    info = session.runtime.info
    why = "" if reason == "asked for" else f" ({reason})"
    lines = [f"device: {info.description}{why}", *(f"note: {note}" for note in info.notes)]
    lines.append(f"data: {session.data_description}")
    if config.data.source is None:
        lines.append(
            "      your own images: DATA=dir (--data dir) with train/<class>/ and val/<class>/, like ImageNet"
        )
    lines.append(f"model: {session.model_description}")
    return lines


def estimate_lines(
    config: RunConfig, phase: PhaseConfig, *, environ: Mapping[str, str], instances: int
) -> List[str]:
    """Return what the cost model says of a phase's plan; with strict memory, refuse one that does not fit."""
    platform = config.device.platform
    estimate = estimate_phase(config.model, phase, platform=platform, environ=environ, instances=instances)
    problem = memory_problem(estimate)
    if problem and config.device.strict_memory:
        raise ValueError(f"device.strict_memory=true: the plan is estimated not to fit: {problem}")
    lines = [f"plan: {estimate.describe()}; by the cost model, for {platform} IPUs"]
    if problem:
        lines.append(f"warning: the plan may not fit: {problem}")
    return lines


def closing_lines(record: Dict[str, Any], summary: RunSummary, path: Path) -> List[str]:
    """Return the last lines of a run."""
    lines = []
    if summary.val:
        lines.append(
            f"validation top-1 {summary.val['top1']:.2%} on {summary.val['samples']:.0f} images "
            f"after {summary.epochs} epochs ({record['dataset']})"
        )
    if summary.images_per_s is not None:
        lines.append(f"{summary.images_per_s:.1f} images/s, {summary.rate_label}")
    lines.append(f"written: {path} (summary.json, curves.png, metrics.jsonl, checkpoints/)")
    return lines


def run_record(config: RunConfig, session: PhaseSession) -> Dict[str, Any]:
    """Return what ``summary.json`` says of the set-up of a run."""
    info, model = session.runtime.info, config.model
    return {
        "device": info.device,
        "backend": info.backend,
        "description": info.description,
        "model": model.name,
        "group_size": model.group_size,
        "norm": model.norm,
        "resolution": session.resolution,
        "dataset": session.data_description,
        "seed": config.seed,
        "global_batch": session.runtime.geometry.samples_per_step,
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }
