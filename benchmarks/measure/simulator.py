"""What the simulated IPU costs over plain training of the same micro-batches on the CPU.

EfficientNet-B0 at 64 pixels in float32, accumulation 4, one stage and one replica, so that both do the same
work; both in channels_last, their default.
"""

from __future__ import annotations

from typing import Any, Dict, List

import torch

from benchmarks.measure.harness import ratio, significant, take_turns, timed
from ipu_app import build
from ipu_app.config.load import load_config
from ipu_app.runtime.base import Runtime, StepKnobs
from ipu_app.settling.phase_batches import make_geometries
from ipu_app.settling.phase_estimates import configured_spec

RESOLUTION, NUM_CLASSES, ACCUMULATION = 64, 1000, 4
CASES = {  # name -> overrides
    "B0 G16 LN+PN": ["model.group_size=16", "model.norm=ln_pn"],
    "B0 G1 BN": ["model.group_size=1", "model.norm=bn"],
}


def make_runtime(device: str, overrides: List[str]) -> Runtime:
    """The runtime of a device for one case."""
    common = [f"phases.train.batch.accumulation={ACCUMULATION}", "phases.train.pipeline.precision='32.32'"]
    config = load_config(None, [*common, "device.poptorch=sim", *overrides])
    phase = config.phases["train"]
    spec = configured_spec(config.model, NUM_CLASSES)
    parts = build.make_parts(config, phase, spec, make_geometries(phase, device, instances=1))
    return build.make_runtime(device, config, phase, parts)


def measure(name: str, rounds: int) -> Dict[str, Any]:
    """Return one case's row: seconds of a call on each side, and the rounds' ratio with its quartiles."""
    runtimes = {device: make_runtime(device, CASES[name]) for device in ("cpu", "ipu")}
    count = runtimes["cpu"].geometry.samples_per_batch
    torch.manual_seed(0)
    images = torch.randint(0, 256, (count, 3, RESOLUTION, RESOLUTION), dtype=torch.uint8)
    batch = (images, torch.randint(0, NUM_CLASSES, (count,)))
    turns = {
        device: timed(lambda runtime=runtime: runtime.train_batch(batch, StepKnobs(lr=1e-4)))
        for device, runtime in runtimes.items()
    }
    seconds = take_turns(turns, rounds=rounds, warm_up=2)  # the first call traces and compiles
    for runtime in runtimes.values():
        runtime.close()
    return {
        "case": f"{name}, {RESOLUTION} px, accumulation {ACCUMULATION}",
        "kind": "measured",
        "cpu_seconds": [significant(value) for value in seconds["cpu"]],
        "simulator_seconds": [significant(value) for value in seconds["ipu"]],
        "ratio": ratio(seconds["ipu"], seconds["cpu"]).to_dict(),
    }
