"""Classify image files with a trained network, on CPU, CUDA or IPU."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Sequence, Tuple, Union

import numpy as np
import torch
from torch import Tensor

from ipu_app import build
from ipu_app.config.load import load_config
from ipu_app.config.schema import DEVICES, PhaseConfig
from ipu_app.data import transforms
from ipu_app.data.decode import choose_decoder, open_image
from ipu_app.data.image import ArrayImage, OpenImage
from ipu_app.data.litter import is_hidden
from ipu_app.data.pixel_ops import choose_pixel_ops
from ipu_app.data.source import MOST_IMAGE_BYTES, UnreadableImageError
from ipu_app.data.suffixes import IMAGE_SUFFIXES, is_image_name
from ipu_app.inference.trained import ModelFile, TrainedModel
from ipu_app.settling.origin import run_dir_of
from pipelines.door import BadFile, read_bytes, read_text, shown
from pipelines.geometry import BatchGeometry

LIST_SUFFIX = ".txt"
_TORCH_BATCH = 32
Image = Union[Path, np.ndarray]  # a file, or its pixels: uint8 (H, W, 3)


@dataclass(frozen=True)
class Prediction:
    """The likeliest classes of one image with their probabilities (0..1), or why it could not be read."""

    image: str
    top: Tuple[Tuple[str, float], ...] = ()
    problem: str = ""

    def lines(self) -> List[str]:
        """Return lines for a person."""
        if self.problem:
            return [f"{self.image}: can not be read ({self.problem})"]
        return [self.image, *(f"  {share:7.2%}  {name}" for name, share in self.top)]

    def to_dict(self) -> Dict[str, Any]:
        """Return plain data."""
        if self.problem:
            return {"image": self.image, "problem": self.problem}
        top = [{"class": name, "probability": round(share, 6)} for name, share in self.top]
        return {"image": self.image, "top": top}


def find_images(arguments: Sequence[str]) -> List[Path]:
    """Return the images that arguments name: files, folders (searched), and .txt lists with one path a line.

    Paths in a list are relative to its folder. Refuses what is not there and a folder without images.
    """
    found: List[Path] = []
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            inside = [p for p in sorted(path.rglob("*")) if is_image_name(p.name)]
            inside = [p for p in inside if not is_hidden(str(p.relative_to(path)))]
            if not inside:
                raise ValueError(f"image={path}: no images in this folder ({', '.join(IMAGE_SUFFIXES)})")
            found += inside
        elif path.suffix.lower() == LIST_SUFFIX and path.is_file():
            found += _listed(path)
        elif path.exists():
            found.append(path)
        else:
            raise ValueError(f"image={path}: no such file or folder")
    return found


def _listed(path: Path) -> List[Path]:
    try:
        lines = read_text(path).splitlines()
    except BadFile as error:
        raise BadFile(f"image={shown(path)}: not a list of paths in UTF-8 text ({error})") from None
    found = [path.parent / line.strip() for line in lines if line.strip()]
    if not found:
        raise ValueError(f"image={path}: no paths in this list")
    return found


@dataclass(frozen=True)
class Classifier:
    """``logits`` of ``batch`` uint8 images (N, 3, H, W) at most, float32 (N, K); ``device`` in words."""

    logits: Callable[[Tensor], Tensor]
    batch: int
    device: str


@contextlib.contextmanager
def open_classifier(trained: TrainedModel, run: Path, *, device: str, number: int) -> Iterator[Classifier]:
    """Make a device ready to classify ``number`` images with the network of a run, and give it back.

    ``auto`` is CUDA, else the CPU: for a few images an IPU would compile longer than they take.
    """
    kind = _choose(device)
    if kind != "ipu":
        graph = trained.logits_graph().to(kind)
        yield Classifier(lambda images: graph(images.to(kind)).cpu(), _TORCH_BATCH, kind)
        return
    config = load_config(run_dir_of(run).config, opens_data=False)
    phase = list(config.phases.values())[-1]
    geometry = inference_geometry(phase, number)
    parts = build.make_parts(config, phase, trained.file.spec, (geometry, geometry), initialise=False)
    runtime = build.make_runtime("ipu", config, phase, replace(parts, eval_graph=trained.logits_graph()))

    def logits(images: Tensor) -> Tensor:
        padding = images.new_zeros(geometry.samples_per_batch - len(images), *images.shape[1:])
        found: Tensor = runtime.eval_outputs(torch.cat([images, padding]))
        return found[: len(images)]

    try:
        yield Classifier(logits, geometry.samples_per_batch, runtime.info.description)
    finally:
        runtime.close()


def inference_geometry(phase: PhaseConfig, number: int) -> BatchGeometry:
    """Return the geometry of one replica that is not larger than ``number`` images need."""
    stages = len(phase.pipeline.splits) + 1
    micro = min(phase.batch.eval_micro or phase.batch.micro, -(-number // stages))
    return BatchGeometry(micro, 1, 1, stages, 1)


def _choose(device: str) -> str:
    if device not in DEVICES:
        raise ValueError(f"device={device!r}: choose one of {', '.join(DEVICES)}")
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise ValueError("device='cuda': there is no CUDA device here")
    if device == "auto":
        return "cuda" if available else "cpu"
    return device


def predict(
    trained: TrainedModel, images: Sequence[Image], classifier: Classifier, *, resolution: int, top: int = 5
) -> Iterator[Prediction]:
    """Classify images in order, a batch at a time; one that can not be read gives a problem, not an error.

    Each is a path, or the pixels themselves: uint8 (H, W, 3).
    """
    for start in range(0, len(images), classifier.batch):
        batch = images[start : start + classifier.batch]
        read = [_read(image, trained.file, resolution) for image in batch]
        pixels = [item for item in read if isinstance(item, Tensor)]
        rows = iter(_classify(classifier, torch.stack(pixels), trained.file.classes, top) if pixels else ())
        for place, (image, item) in enumerate(zip(batch, read), start=start):
            name = str(image) if isinstance(image, Path) else f"image {place}"
            if isinstance(item, Tensor):
                yield Prediction(name, next(rows))
            else:
                yield Prediction(name, problem=item)


def _classify(
    classifier: Classifier, images: Tensor, classes: Sequence[str], top: int
) -> List[Tuple[Tuple[str, float], ...]]:
    with torch.no_grad():
        shares = classifier.logits(images).softmax(1)
    values, places = shares.topk(min(top, len(classes)), dim=1)
    return [
        tuple((classes[place], share) for place, share in zip(row_places, row_values))
        for row_places, row_values in zip(places.tolist(), values.tolist())
    ]


def _read(source: Image, file: ModelFile, resolution: int) -> Any:
    """Return the image as a uint8 tensor (3, resolution, resolution), or a text: why it can not be read."""
    try:
        image = _open(source)
        return transforms.evaluate(image, resolution, file.shorter_side(resolution), ops=choose_pixel_ops())
    except UnreadableImageError as error:
        return re.sub(r" <_io\.BytesIO[^>]*>", "", str(error)) or "not an image"
    except OSError as error:
        return error.strerror or type(error).__name__
    except ValueError as error:  # no file, or a line of a list that is no path
        return shown(error)


def _open(source: Image) -> OpenImage:
    if isinstance(source, Path):
        return open_image(read_bytes(source, limit=MOST_IMAGE_BYTES), choose_decoder("auto"))
    check_pixel_array(source)
    return ArrayImage(source)


def check_pixel_array(pixels: np.ndarray) -> None:
    """Refuse an array that is no image: uint8 (H, W, 3)."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"image: {pixels.dtype} of shape {pixels.shape}; pixels are uint8 (H, W, 3)")
