"""What PopTorch would see of a recipe: its training graph, compiled on the simulated IPU; nothing runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Optional

import torch

from ipu_app import build
from ipu_app.config.schema import RunConfig
from ipu_app.data.mixing import NUM_COEFFICIENTS
from ipu_app.settling.phase_batches import make_geometries
from ipu_app.settling.phase_estimates import configured_spec
from pipelines.geometry import BatchGeometry


def trace_phase(config: RunConfig, phase_name: Optional[str] = None) -> Any:
    """Return the simulator's compilation report of one phase (default: the first) at its own size.

    One micro-batch per replica and the least accumulation are enough: the graph is that of one micro-batch.
    Raises ValueError with PopTorch's words where PopTorch would refuse.
    """
    names = list(config.phases)
    if phase_name is not None and phase_name not in names:
        raise ValueError(f"phase={phase_name!r}: choose one of {', '.join(names)}")
    phase = config.phases[phase_name or names[0]]
    config = replace(config, device=replace(config.device, poptorch="sim"))
    spec = configured_spec(config.model)
    geometries = make_geometries(phase, "ipu", instances=1)
    parts = build.make_parts(config, phase, spec, geometries)
    runtime = build.make_runtime("ipu", config, phase, parts)
    try:
        return runtime.prepare(
            _blank_batch(geometries[0], phase.resolution or spec.native_resolution, phase.augment.mixes)
        )
    finally:
        runtime.close()


def _blank_batch(geometry: BatchGeometry, resolution: int, mixes: bool) -> Any:
    """A batch of the right shapes; its memory is never written, so it costs none."""
    count = geometry.samples_per_batch
    images = torch.empty(count, 3, resolution, resolution, dtype=torch.uint8)
    labels = torch.empty(count, dtype=torch.int64)
    return (images, labels, torch.empty(count, NUM_COEFFICIENTS)) if mixes else (images, labels)
