"""Classify image files with a trained network, on CPU or CUDA."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple

import torch
from torch import Tensor

from ipu_app.data import transforms
from ipu_app.data.decode import choose_decoder, open_image
from ipu_app.data.pixel_ops import choose_pixel_ops
from ipu_app.data.source import UnreadableImageError
from ipu_app.model_file import ModelFile, TrainedModel

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")
LIST_SUFFIX = ".txt"
TORCH_DEVICES = ("auto", "cuda", "cpu")
_BATCH = 32


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
            inside = [p for p in sorted(path.rglob("*")) if p.suffix.lower() in IMAGE_SUFFIXES]
            if not inside:
                raise ValueError(f"image={path}: no images in this folder ({', '.join(IMAGE_SUFFIXES)})")
            found += inside
        elif path.suffix.lower() == LIST_SUFFIX and path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines()
            found += [path.parent / line.strip() for line in lines if line.strip()]
        elif path.is_file():
            found.append(path)
        else:
            raise ValueError(f"image={path}: no such file or folder")
    return found


def choose_torch_device(kind: str) -> str:
    """Return the torch device of ``auto``, ``cuda`` or ``cpu``; refuses others and missing CUDA."""
    if kind not in TORCH_DEVICES:
        raise ValueError(f"device={kind!r}: choose one of {', '.join(TORCH_DEVICES)}")
    available = torch.cuda.is_available()
    if kind == "cuda" and not available:
        raise ValueError("device='cuda': there is no CUDA device here")
    if kind == "auto":
        return "cuda" if available else "cpu"
    return kind


def predict(
    trained: TrainedModel, images: Sequence[Path], *, resolution: int, device: str = "cpu", top: int = 5
) -> Iterator[Prediction]:
    """Classify images in order, a batch at a time; one that can not be read gives a problem, not an error."""
    graph = trained.logits_graph().to(device)
    classes = trained.file.classes
    for start in range(0, len(images), _BATCH):
        paths = images[start : start + _BATCH]
        read = [_read(path, trained.file, resolution) for path in paths]
        pixels = [item for item in read if isinstance(item, Tensor)]
        rows = iter(_classify(graph, torch.stack(pixels).to(device), classes, top) if pixels else ())
        for path, item in zip(paths, read):
            if isinstance(item, Tensor):
                yield Prediction(str(path), next(rows))
            else:
                yield Prediction(str(path), problem=item)


def _classify(
    graph: torch.nn.Module, images: Tensor, classes: Sequence[str], top: int
) -> List[Tuple[Tuple[str, float], ...]]:
    with torch.no_grad():
        shares = graph(images).softmax(1)
    values, places = shares.topk(min(top, len(classes)), dim=1)
    return [
        tuple((classes[place], share) for place, share in zip(row_places, row_values))
        for row_places, row_values in zip(places.tolist(), values.tolist())
    ]


def _read(path: Path, file: ModelFile, resolution: int) -> Any:
    """Return the image as a uint8 tensor (3, resolution, resolution), or a text: why it can not be read."""
    try:
        image = open_image(path.read_bytes(), choose_decoder("auto"))
        return transforms.evaluate(image, resolution, file.shorter_side(resolution), ops=choose_pixel_ops())
    except UnreadableImageError as error:
        return re.sub(r" <_io\.BytesIO[^>]*>", "", str(error)) or "not an image"
    except OSError as error:
        return error.strerror or type(error).__name__
