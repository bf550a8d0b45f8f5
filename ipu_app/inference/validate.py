"""Validation of a finished run, at one or several resolutions, on any device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from ipu_app import build
from ipu_app.config.load import load_config
from ipu_app.config.schema import RunConfig
from ipu_app.data.unused import data_problems, skipped_notes
from ipu_app.distributed.comm import Comm
from ipu_app.distributed.connect import make_comm
from ipu_app.distributed.world import detect_world
from ipu_app.environment import read_environ
from ipu_app.inference.trained import TrainedModel, load_trained
from ipu_app.models.parity import parity_warnings
from ipu_app.models.spec import EfficientNetSpec
from ipu_app.runtime.choose import choose_device
from ipu_app.settling.origin import run_dir_of
from ipu_app.settling.phase_batches import make_geometries
from ipu_app.training.metrics import EvalMeter, all_confusion, class_accuracy
from ipu_app.training.trainer import evaluate


@dataclass(frozen=True)
class Validation:
    """What a validation found, and on which device; shares are 0..1, the loss is in nats."""

    resolution: int
    top1: float
    top5: float
    loss: float
    samples: int
    weights: str
    notes: Tuple[str, ...]
    classes: Mapping[str, float]
    device: str = ""

    def line(self) -> str:
        """Return one line for a person; ``notes`` are printed apart, those of several together."""
        return (
            f"{self.resolution} px: top-1 {self.top1:.2%}, top-5 {self.top5:.2%}, loss {self.loss:.4f} "
            f"on {self.samples} images ({self.weights})"
        )

    def class_lines(self) -> List[str]:
        """Return one line per class, the worst first."""
        worst_first = sorted(self.classes.items(), key=lambda item: item[1])
        return [f"  {share:7.2%}  {name}" for name, share in worst_first]

    def to_dict(self) -> Dict[str, Any]:
        """Return plain data."""
        return {
            "resolution": self.resolution,
            "top1": self.top1,
            "top5": self.top5,
            "loss": self.loss,
            "samples": self.samples,
            "weights": self.weights,
            "device": self.device,
            "notes": list(self.notes),
            "classes": dict(self.classes),
        }


def validate_run(
    path: Path, *, resolutions: Sequence[int] = (), overrides: Sequence[str] = (), averaged: bool = True
) -> List[Validation]:
    """Validate a run (or one of its checkpoints) at the given resolutions, or at that of its last phase."""
    _refuse_other_models(overrides)
    config = load_config(run_dir_of(path).config, overrides)
    trained = load_trained(path, averaged=averaged)
    choice = choose_device(config.device.kind, config.device.poptorch)
    environ = read_environ()
    trained_for = load_config(run_dir_of(path).config, opens_data=False).device.kind
    asked = any(item.startswith("device.autocast") for item in overrides)
    if choice.kind == "cpu" and trained_for != "cpu" and not asked:  # half precision was for another device
        config = replace(config, device=replace(config.device, autocast="off"))
    first = next(iter(config.phases.values()))
    trained_at = first.resolution or trained.file.spec.native_resolution
    with make_comm(detect_world(environ), choice.kind) as comm:
        found = [
            validate_at(resolution, trained, config, device=choice.kind, comm=comm, environ=environ)
            for resolution in resolutions or (trained.file.resolution,)
        ]
    return [_with_warning(validation, trained.file.spec, trained_at) for validation in found]


def _with_warning(validation: Validation, spec: EfficientNetSpec, trained_at: int) -> Validation:
    """Add a note where the resolution does not go with the one that the network was trained at."""
    warnings = parity_warnings(spec, trained_at, [validation.resolution])
    return replace(validation, notes=(*validation.notes, *warnings))


def speaks_here() -> bool:
    """Tell whether this is the process of a job that speaks for all of them."""
    return detect_world(read_environ()).rank == 0


def note_lines(found: Sequence[Validation]) -> List[str]:
    """Return what is to be noted of several validations, each thing once."""
    return list(dict.fromkeys(note for validation in found for note in validation.notes))


def _subset_notes(config: RunConfig, num_images: int) -> List[str]:
    if config.data.limit_val is None or num_images < config.data.limit_val:
        return []
    return [f"a subset of the validation images: data.limit_val={config.data.limit_val}"]


def _refuse_other_models(overrides: Sequence[str]) -> None:
    for item in overrides:
        if item.startswith("model."):
            raise ValueError(f"--set {item}: the run's model is what it was trained as; train another")


def validate_at(
    resolution: int,
    trained: TrainedModel,
    config: RunConfig,
    *,
    device: str,
    comm: Comm,
    environ: Mapping[str, str],
) -> Validation:
    """Classify the validation images at one resolution; labels are numbered by the model's own classes."""
    phase = list(config.phases.values())[-1]
    classes = trained.file.classes
    dataset = build.make_dataset(config, phase, "val", resolution, environ=environ, classes=classes)
    _, geometry = make_geometries(phase, device, instances=comm.size)
    here = detect_world(environ).local_size
    parts = build.make_parts(
        config, phase, trained.file.spec, (geometry, geometry), initialise=False, local_instances=here
    )
    parts.eval_graph.model.load_state_dict(trained.weights)
    runtime = build.make_runtime(device, config, phase, parts, comm)
    try:
        meter = EvalMeter()
        runtime.load_eval_weights(trained.weights)
        loader = runtime.loader(dataset, build.validation_order(dataset, geometry, comm), train=False)
        means = evaluate(runtime, loader, comm, meter)
    finally:
        runtime.close()
    shares = class_accuracy(all_confusion(meter.confusion, len(classes), comm.all_sum, comm.size))
    return Validation(
        resolution=resolution,
        top1=means["top1"],
        top5=means["top5"],
        loss=means["loss"],
        samples=int(means["samples"]),
        weights=trained.origin,
        notes=(
            *trained.notes,
            *_subset_notes(config, len(dataset)),
            *data_problems({"val": dataset}),
            *skipped_notes({"val": dataset}, comm.all_sum),
        ),
        device=runtime.info.description,
        classes={classes[label]: share for label, share in shares.items()},
    )
