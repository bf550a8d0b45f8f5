"""What the simulated IPU costs over plain training of the same micro-batches on the CPU.

EfficientNet-B0 at 64 pixels in float32, accumulation 4; the two take turns in every round, so that another
program on the machine slows both; the ratio is the median of the rounds'. Goal: 1.15 at most.

    OMP_NUM_THREADS=1 python -m benchmarks.simulator --rounds 15
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Dict, List

import torch

from ipu_app import build
from ipu_app.config.load import load_config
from ipu_app.runtime.base import Runtime, StepKnobs

RESULTS = Path(__file__).resolve().parent / "results" / "simulator.json"
GOAL = 1.15
RESOLUTION, NUM_CLASSES = 64, 1000
# name -> overrides; one stage and one replica, so that both sides do the same work. The simulator computes in
# PyTorch's plain memory layout; the last case gives the CPU its default and faster one, channels_last.
CASES = {
    "B0 G16 LN+PN": ["model.group_size=16", "model.norm=ln_pn", "device.channels_last=false"],
    "B0 G1 BN": ["model.group_size=1", "model.norm=bn", "device.channels_last=false"],
    "B0 G16 LN+PN, CPU in channels_last": ["model.group_size=16", "model.norm=ln_pn"],
}


def make_runtime(device: str, overrides: List[str]) -> Runtime:
    """The runtime of a device for one case."""
    common = ["phases.train.batch.accumulation=4", "phases.train.pipeline.precision='32.32'"]
    config = load_config(None, [*common, "device.poptorch=sim", *overrides])
    phase = config.phases["train"]
    spec = build.configured_spec(config.model, NUM_CLASSES)
    parts = build.make_parts(config, phase, spec, build.make_geometries(phase, device, instances=1))
    return build.make_runtime(device, config, phase, parts)


def measure(overrides: List[str], rounds: int) -> Dict[str, Any]:
    """Medians and spread of one case; the first call of each side compiles and is left out."""
    runtimes = {device: make_runtime(device, overrides) for device in ("cpu", "ipu")}
    count = runtimes["cpu"].geometry.samples_per_batch
    torch.manual_seed(0)
    images = torch.randint(0, 256, (count, 3, RESOLUTION, RESOLUTION), dtype=torch.uint8)
    batch = (images, torch.randint(0, NUM_CLASSES, (count,)))
    seconds: Dict[str, List[float]] = {device: [] for device in runtimes}
    for turn in range(rounds + 1):
        for device, runtime in runtimes.items():
            started = time.perf_counter()
            runtime.train_batch(batch, StepKnobs(lr=1e-4))
            if turn:
                seconds[device].append(time.perf_counter() - started)
    ratios = sorted(ipu / cpu for cpu, ipu in zip(seconds["cpu"], seconds["ipu"]))
    for runtime in runtimes.values():
        runtime.close()
    return {
        "kind": "measured",
        "cpu_s": round(statistics.median(seconds["cpu"]), 4),
        "simulator_s": round(statistics.median(seconds["ipu"]), 4),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_quartiles": [round(ratios[len(ratios) // 4], 3), round(ratios[3 * len(ratios) // 4], 3)],
        "goal": GOAL,
    }


def main() -> int:
    """Measure all cases, print them, and write the results."""
    parser = argparse.ArgumentParser(description="The simulated IPU's cost over plain training.")
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    rows = []
    for name, overrides in CASES.items():
        row = {"case": name, **measure(overrides, args.rounds)}
        low, high = row["ratio_quartiles"]
        print(
            f"{name}: simulator / CPU = {row['ratio']:.3f} (quartiles {low:.3f} to {high:.3f}, goal {GOAL})"
        )
        rows.append(row)
    threads = torch.get_num_threads()
    record = {
        "command": f"OMP_NUM_THREADS={threads} python -m benchmarks.simulator --rounds {args.rounds}",
        "date": datetime.date.today().isoformat(),
        "machine": {"cores": os.cpu_count(), "load_average": list(os.getloadavg())},
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "rows": rows,
    }
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
