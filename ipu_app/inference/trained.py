"""``model.json`` of a run: what its network takes besides the weights, so that no training data is needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

from ipu_app.data.transforms import Preprocess as ImagePreprocess
from ipu_app.models.efficientnet import EfficientNet
from ipu_app.models.spec import EfficientNetSpec
from ipu_app.models.train_graph import LogitsGraph, Preprocess
from ipu_app.runtime.base import Weights
from ipu_app.settling.origin import locate, run_dir_of
from ipu_app.settling.settle import SettledRun
from ipu_app.training import checkpoint as checkpoints
from ipu_app.training.model_json import FORMAT, read_model_json
from ipu_app.training.rundir import write_json


@dataclass(frozen=True)
class ModelFile:
    """A trained network's spec, class names and input.

    ``resolution`` in pixels is that of the run's last phase, or where that is the native one the network's
    own to evaluate at; ``normalise`` and ``crop`` name the input's normalisation and how it is cropped;
    ``whole_images``: images are resized whole (those of a few dozen pixels), not centre-cropped.
    """

    spec: EfficientNetSpec
    classes: Tuple[str, ...]
    resolution: int
    normalise: str
    whole_images: bool
    crop: str = "published"

    def shorter_side(self, resolution: int) -> Optional[int]:
        """Return the pixels to which an image's shorter side is resized before the centre crop.

        None: there is no crop, the whole image is squeezed to a square.
        """
        return resolution if self.whole_images else ImagePreprocess(resolution, crop=self.crop).shorter_side

    def to_dict(self) -> Dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "format": FORMAT,
            "spec": self.spec.to_dict(),
            "classes": list(self.classes),
            "resolution": self.resolution,
            "normalise": self.normalise,
            "whole_images": self.whole_images,
            "crop": self.crop,
        }

    def save(self, path: Path) -> None:
        """Write ``model.json``."""
        write_json(path, self.to_dict())


def describe_model_file(run: SettledRun) -> ModelFile:
    """Return what a run will leave."""
    assert run.data is not None, "a run that is carried out knows its images"
    last, spec = list(run.config.phases.values())[-1], run.first.stages[-1].spec
    native, evaluation = spec.native_resolution, spec.evaluation_resolution
    size = last.resolution or native
    return ModelFile(
        spec=spec,
        classes=run.data.classes,
        resolution=evaluation or size if size == native else size,
        normalise=run.config.data.normalise,
        whole_images=run.data.whole_images,
        crop=run.config.data.crop,
    )


def load_model_file(path: Path) -> ModelFile:
    """Read a ``model.json``; refuse a missing or a foreign one."""
    if not path.is_file():
        raise ValueError(
            f"run={path.parent}: no {path.name} there, which holds the class names; train it anew"
        )
    found = read_model_json(path)
    return ModelFile(
        spec=found["spec"],
        classes=tuple(found["classes"]),
        resolution=found["resolution"],
        normalise=found["normalise"],
        whole_images=found["whole_images"],
        crop=found.get("crop", "published"),  # not in older files
    )


@dataclass(frozen=True)
class TrainedModel:
    """A run's network: its description, its weights, and in words which weights they are.

    ``notes`` name newer checkpoints that are damaged.
    """

    file: ModelFile
    weights: Weights
    origin: str
    notes: Tuple[str, ...] = ()

    def logits_graph(self) -> LogitsGraph:
        """Return the network with its input's normalisation, ready to classify uint8 images."""
        model = EfficientNet(self.file.spec, initialise=False)
        model.load_state_dict(self.weights)
        return LogitsGraph(model, preprocess=Preprocess(normalise=self.file.normalise)).eval()


def load_trained(path: Path, *, averaged: bool = True) -> TrainedModel:
    """Return the newest whole model of a run, or the one of a checkpoint where that is given."""
    checkpoint, notes = locate(path, (checkpoints.AVERAGED if averaged else checkpoints.WEIGHTS,))
    return TrainedModel(
        load_model_file(run_dir_of(path).model),
        checkpoints.load_weights(checkpoint, averaged=averaged),
        checkpoints.describe_weights(checkpoint, averaged=averaged),
        notes,
    )
