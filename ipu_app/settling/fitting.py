"""Makes a run fit: numeric type and micro-batches for the device's memory, batches for the number of images.

What is chosen goes into the configuration, and so into the run's ``config.yaml``: a run that is continued
takes the same.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Dict, List, NamedTuple, Sequence, Tuple

from ipu_app.config.asked import Asked
from ipu_app.config.batches import micro_batches, same_batch, smaller_batch
from ipu_app.config.kinds import NORMS
from ipu_app.config.phase_stages import phase_stages
from ipu_app.config.schema import PhaseConfig, RunConfig
from ipu_app.models.layout import block_specs, stem_conv, top_conv
from ipu_app.models.spec import EfficientNetSpec
from ipu_app.settling.machine import Machine
from ipu_app.settling.phase_estimates import configured_spec, resolutions_of

# Peak memory of training over the outputs of all convolutions. Measured on a CPU: B0, groups of 16, LN+PN at
# 224 px takes 100 MB more for each image of the micro-batch, in float32, at 4.97 M such outputs. In autocast
# 56 % of what is kept for the backward pass; CUDA's norms stay wide, so that 75 % is reckoned with.
BYTES_PER_OUTPUT = {"off": 20.0, "bfloat16": 15.0, "float16": 15.0}
LIVE_OUTPUTS = 3  # layers that do not learn keep nothing; alive are about so many outputs of the largest
PROCESS_BYTES = 1.0e9  # weights, gradients, optimiser and libraries; 0.75 GB measured for B0 on a CPU
USED_SHARE = 0.85  # of the free memory: estimates err, and others come and go


class Fitted(NamedTuple):
    """A configuration that fits, and what to tell the user of the changes."""

    config: RunConfig
    lines: Tuple[str, ...] = ()


def fit_to_memory(config: RunConfig, machine: Machine, asked: Asked) -> Fitted:
    """Choose each phase's micro-batch on CPU and CUDA by what is estimated to fit into the free memory.

    ``batch.torch_micro`` is the most it takes; typed by the user, it is taken as it is.
    """
    if machine.device == "ipu":
        return Fitted(config)
    free_bytes, autocast = machine.free_bytes, config.device.autocast
    autocast = machine.autocast if autocast == "auto" else autocast
    config = replace(config, device=replace(config.device, autocast=autocast))
    phases, lines = dict(config.phases), []
    spec = configured_spec(config.model)
    room = max(0.0, USED_SHARE * free_bytes - PROCESS_BYTES)
    for name, phase in config.phases.items():
        chosen: List[int] = []
        for stage in _growing(config, phase, machine, asked):
            image_bytes = bytes_per_image(spec, stage, autocast)
            chosen.append(_micro(stage, room / image_bytes, machine.instances, asked))
            demand = image_bytes * chosen[-1] + PROCESS_BYTES
            lines += _memory_lines(stage, chosen[-1], image_bytes, demand, free_bytes)
        phases[name] = _with_micros(phase, chosen)
        if NORMS[config.model.norm].per_batch and set(chosen) != {phase.batch.micro}:
            sizes = " and ".join(map(str, dict.fromkeys(chosen)))
            lines.append(
                f"note: phase {name}: batch norm takes its statistics over micro-batches of {sizes} here"
            )
    return Fitted(replace(config, phases=phases), tuple(lines))


def _growing(config: RunConfig, phase: PhaseConfig, machine: Machine, asked: Asked) -> List[PhaseConfig]:
    """Return the phase's stages as phases; a small size may take a micro-batch of as many pixels as the last.

    Micro-batches that the user or the stages set are taken as they are.
    """
    spec = configured_spec(config.model)
    native = spec.native_resolution
    found = phase_stages(config, phase.name, **resolutions_of(spec))
    stages, cap = [stage.phase for stage in found], phase.batch.torch_micro
    is_typed = asked.has(f"phases.{phase.name}.batch.torch_micro") or phase.progressive.torch_micro
    if len(stages) == 1 or cap is None or is_typed:
        return stages
    grown = []
    for stage in stages:
        room = cap * ((stages[-1].resolution or native) / (stage.resolution or native)) ** 2
        micro = next(iter(micro_batches(stage, machine.instances, int(room))), cap)
        grown.append(replace(stage, batch=replace(stage.batch, torch_micro=micro)))
    return grown


def _with_micros(phase: PhaseConfig, chosen: Sequence[int]) -> PhaseConfig:
    if phase.progressive.is_on:
        return replace(phase, progressive=replace(phase.progressive, torch_micro=tuple(chosen)))
    return replace(phase, batch=replace(phase.batch, torch_micro=chosen[0]))


def bytes_per_image(spec: EfficientNetSpec, phase: PhaseConfig, autocast: str) -> float:
    """Estimate the memory that each image of a training micro-batch takes, in bytes."""
    resolution = phase.resolution or spec.native_resolution
    outputs = conv_outputs(spec, resolution)
    names = list(outputs)
    start = names.index(phase.trainable) if phase.trainable in names else 0
    learning = sum(outputs[name] for name in names[start:])
    frozen = max((outputs[name] for name in names[:start]), default=0)
    pixels = 3 * 4 * resolution**2
    width = 4 if autocast == "off" else 2
    return pixels + BYTES_PER_OUTPUT[autocast] * learning + LIVE_OUTPUTS * width * frozen


def conv_outputs(spec: EfficientNetSpec, resolution: int) -> Dict[str, int]:
    """Return the elements that the convolutions of each block put out for one image."""
    size = resolution
    blocks = [("block0", [stem_conv(spec)])]
    blocks += [(block.name, list(block.convs)) for block in block_specs(spec)]
    found = {}
    for name, convs in [*blocks, ("Top", [top_conv(spec)])]:
        found[name] = 0
        for conv in convs:
            size = math.ceil(size / conv.stride)
            found[name] += conv.out_channels * size**2
    return found


def fit_to_images(config: RunConfig, num_images: int, machine: Machine) -> Fitted:
    """Make the batch of each phase small enough for a small data set, where that is possible."""
    phases, lines = dict(config.phases), []
    for name, phase in config.phases.items():
        if phase.batch.global_batch * phase.batch.device_iterations <= num_images:
            continue
        batch = smaller_batch(phase, num_images, instances=machine.instances, on_ipus=machine.device == "ipu")
        if batch is None:
            continue
        # stages of a small data set have the phase's own factors
        progressive = replace(phase.progressive, micro=(), torch_micro=(), replicas=(), splits=())
        phases[name] = replace(phase, batch=batch, progressive=progressive)
        micro, accumulation, replicas, _ = same_batch(batch)
        lines.append(
            f"batch: {num_images} images are few for steps of {phase.batch.global_batch}; phase {name} takes "
            f"{batch.global_batch} (micro-batch {micro} x accumulation {accumulation} x replicas {replicas}; "
            f"your own: --set phases.{name}.batch.accumulation=...)"
        )
    return Fitted(replace(config, phases=phases), tuple(lines))


def _micro(phase: PhaseConfig, most: float, instances: int, asked: Asked) -> int:
    cap = phase.batch.torch_micro or phase.batch.micro
    key = f"phases.{phase.name}.batch.torch_micro"
    if asked.has(key):
        return cap
    sizes = micro_batches(phase, instances, cap)
    if not sizes:
        return cap  # refused by name where the geometry is made
    return next((size for size in sizes if size <= most), sizes[-1])


def _memory_lines(
    phase: PhaseConfig, chosen: int, image_bytes: float, demand: float, free_bytes: float
) -> List[str]:
    cap = phase.batch.torch_micro or phase.batch.micro
    facts = f"estimated {image_bytes / 1e6:.0f} MB an image, {free_bytes / 1e9:.1f} GB free"
    if demand > free_bytes:
        return [
            f"warning: phase {phase.name}: micro-batch {chosen} may not fit ({facts}); "
            f"a smaller one is --set phases.{phase.name}.batch.torch_micro=N, or lower the resolution"
        ]
    if chosen < cap:
        return [f"memory: phase {phase.name}: micro-batch {chosen} instead of {cap} ({facts}); same steps"]
    return []
