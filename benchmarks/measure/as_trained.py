"""One step as the application itself trains: its runtime, the recipe's optimiser, losses and augmentation.

Beside the plain step that all libraries share it has the copy to the device, the input's arithmetic, RMSProp
in TensorFlow's form, and the counts of the progress line. One weight update per call, of the whole batch.
"""

from __future__ import annotations

from typing import Callable, List

import torch

from benchmarks.measure.cases import CHANNELS_LAST, Case
from ipu_app import build
from ipu_app.config.load import load_config, nearest_recipe
from ipu_app.data.mixing import NUM_COEFFICIENTS
from ipu_app.runtime.base import StepKnobs
from ipu_app.settling.phase_batches import make_geometries
from ipu_app.settling.phase_estimates import configured_spec

NUM_CLASSES = 1000
AUTOCAST = {"fp32": "off", "bf16": "bfloat16"}


def overrides_of(case: Case, device: str) -> List[str]:
    """Return what a case changes in its recipe: the device's settings and the batch; refuses what the
    application does not do.
    """
    if case.compile not in ("", "default"):
        raise ValueError(f"compile={case.compile}: the application compiles in the default mode only")
    phase = "phases.train"
    return [
        f"model.group_size={case.group_size}",
        f"model.norm={case.norm}",
        f"device.kind={device}",
        f"device.autocast='{AUTOCAST[case.precision]}'",
        f"device.channels_last={case.layout == CHANNELS_LAST}",
        f"device.compile={bool(case.compile)}",
        f"{phase}.resolution={case.resolution}",
        f"{phase}.pipeline.splits=[]",
        f"{phase}.batch.micro={case.batch}",
        f"{phase}.batch.torch_micro={case.batch}",
        f"{phase}.batch.accumulation=1",
        f"{phase}.batch.replicas=1",
    ]


def make_recipe_step(case: Case, device: str) -> Callable[[], None]:
    """Return one training call of the application's runtime on a batch in host memory."""
    recipe = nearest_recipe(case.model, case.group_size, case.norm)
    config = load_config(recipe, overrides_of(case, device))
    phase = config.phases["train"]
    spec = configured_spec(config.model, NUM_CLASSES)
    parts = build.make_parts(config, phase, spec, make_geometries(phase, device, instances=1))
    runtime = build.make_runtime(device, config, phase, parts)
    images = torch.randint(0, 256, (case.batch, 3, case.resolution, case.resolution), dtype=torch.uint8)
    batch = [images, torch.randint(0, NUM_CLASSES, (case.batch,))]
    if phase.augment.mixes:
        batch.append(torch.rand(case.batch, NUM_COEFFICIENTS))
    if device == "cuda":
        batch = [tensor.pin_memory() for tensor in batch]
    knobs = StepKnobs(lr=1e-4)

    def step() -> None:
        runtime.train_batch(batch, knobs)

    return step
