"""What a run says first and last: what is simulated, which data, what is measured; and the record of it."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any, Dict, List, Mapping

import torch

from ipu_app.config.load import load_config
from ipu_app.config.schema import RunConfig
from ipu_app.models.parity import parity_warnings
from ipu_app.settling.origin import Start, find_checkpoint, run_dir_of
from ipu_app.settling.phase_estimates import configured_spec, memory_problem
from ipu_app.training import checkpoint as checkpoints
from ipu_app.training.trainer import PhaseSession, RunSummary
from pipelines.estimate import StepEstimate
from pipelines.words import counted


def opening_lines(config: RunConfig, session: PhaseSession, reason: str) -> List[str]:
    """Return the first lines of a run, for a person."""
    info = session.runtime.info
    why = "" if reason == "asked for" else f" ({reason})"
    lines = [f"device: {info.description}{why}", *(f"note: {note}" for note in info.notes)]
    lines.append(f"data: {session.data_description}")
    lines += [f"note: {problem}" for problem in session.data_problems]
    if config.data.source is None:
        lines.append(
            "      your own images: DATA=dir (--data dir) with train/<class>/ and val/<class>/, like ImageNet"
        )
    lines.append(f"model: {session.model_description}")
    return lines


def start_lines(start: Start) -> List[str]:
    """Return whose weights a run starts with, and what a file of weights brought with it."""
    lines = [f"init: {start.init} sets {' '.join(start.settings)}"] if start.settings else []
    if start.from_run:
        weights = checkpoints.describe_weights(find_checkpoint(start.from_run), averaged=True)
        lines.append(f"start: {weights} of {start.from_run}")
    return lines


def plan_lines(config: RunConfig, estimate: StepEstimate) -> List[str]:
    """Return what the cost model says of a phase's plan; with strict memory, refuse one that does not fit."""
    platform = config.device.platform
    problem = memory_problem(estimate)
    if problem and config.device.strict_memory:
        raise ValueError(f"device.strict_memory=true: the plan is estimated not to fit: {problem}")
    lines = [f"plan: {estimate.describe()}; by the cost model, for {platform} IPUs"]
    if problem:
        lines.append(f"warning: the plan may not fit: {problem}")
    return lines


def resolution_lines(config: RunConfig, start: Start) -> List[str]:
    """Return a warning for each resolution that does not go with the one the network is trained at."""
    phases = list(config.phases.values())
    trained_at, others = phases[0].resolution, [phase.resolution for phase in phases[1:]]
    if start.from_run:
        earlier = load_config(run_dir_of(start.from_run).config, opens_data=False)
        trained_at = next(iter(earlier.phases.values())).resolution
        others = [phase.resolution for phase in phases]
    spec = configured_spec(config.model)
    native = spec.native_resolution
    tests = [resolution or native for resolution in others]
    return parity_warnings(spec, trained_at or native, [*tests, *config.evaluate.resolutions])


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


def run_record(config: RunConfig, session: PhaseSession, start: Mapping[str, Any]) -> Dict[str, Any]:
    """Return what ``summary.json`` says of the set-up of a run.

    ``resolution`` and ``global_batch`` are those of the phase that begins, ``phases`` has them for each;
    ``start`` is where its weights came from.
    """
    native = session.spec.native_resolution
    info, model = session.runtime.info, config.model
    return {
        "device": info.device,
        "backend": info.backend,
        "description": info.description,
        "model_is": session.model_description,
        "model": model.name,
        "group_size": model.group_size,
        "norm": model.norm,
        "resolution": session.resolution,
        "dataset": session.data_description,
        "seed": config.seed,
        "global_batch": session.runtime.geometry.samples_per_step,
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
