"""Small real photographs and folders of them, for the tests of the data path."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.measure.make_tree import photographs


def photograph(width: int = 160, height: int = 120, name: str = "china") -> Any:
    """A PIL image (RGB) of a photograph shipped with scikit-learn."""
    image = next(image for found, image in photographs() if name in found)
    return image.resize((width, height), Image.BICUBIC)


def jpeg(image: Any, **options: Any) -> bytes:
    """The image as JPEG bytes."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **{"quality": 90, **options})
    return buffer.getvalue()


def png(image: Any) -> bytes:
    """The image as PNG bytes."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def exif(orientation: int) -> bytes:
    """An EXIF block that holds nothing but an orientation."""
    block = Image.Exif()
    block[0x0112] = orientation
    return block.tobytes()


def write_tree(root: Path, *, classes: int = 3, train: int = 4, val: int = 2) -> Path:
    """An ImageFolder tree of JPEGs, each of its own brightness."""
    pixels = np.asarray(photograph(64, 48))
    for split, count in (("train", train), ("val", val)):
        for label in range(classes):
            folder = root / split / f"class{label}"
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                shade = 0.3 + 0.7 * (label * count + number) / (classes * count)
                image = Image.fromarray((pixels * shade).astype(np.uint8))
                (folder / f"{number}.jpg").write_bytes(jpeg(image))
    return root
