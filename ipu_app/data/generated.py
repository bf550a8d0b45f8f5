"""Made-up images: no files, any number of classes.

*generated*: every image is drawn on the host (a coloured grating whose angle, period and hue tell its class,
plus noise), so the whole host path is exercised and there is something to learn. *synthetic*: one fixed image
for all, which costs the host nothing: for measuring a device alone.
"""

from __future__ import annotations

import hashlib
from typing import Tuple

import numpy as np

from .source import Source

DEFAULT_CLASSES = 1000
_SIDE = 128
_PER_CLASS = {"train": 128, "val": 16}  # generated images of each class
_IMAGENET_IMAGES = {
    "train": 1_281_167,
    "val": 50_000,
}  # so that an epoch of synthetic data is as long as a real one
_ANGLES, _PERIODS = 10, 10  # of the gratings: ten hues make a thousand classes


def parse_classes(data: str) -> int:
    """The number after the colon of "generated:10", or 1000."""
    name, _, number = data.partition(":")
    if not number:
        return DEFAULT_CLASSES
    if not number.isdigit() or int(number) < 1:
        raise ValueError(f"data.source={data}: must be {name} or {name}:CLASSES, CLASSES a number from 1")
    return int(number)


class GeneratedSource(Source):
    """Gratings with noise, (128, 128, 3) uint8 pixels; image i of a split is always the same."""

    flip = False  # a mirrored grating is another class
    kind = "generated on the host"

    def __init__(self, data: str, split: str) -> None:
        count = parse_classes(data)
        self.classes = tuple(f"grating{number}" for number in range(count))
        self.location = f"{data}/{split}"
        self.manifest_hash = hashlib.sha256(f"grating-1 {count} {split}".encode()).hexdigest()
        self._count = _PER_CLASS[split] * count
        self._salt = 0 if split == "train" else 1
        axis = np.arange(_SIDE, dtype=np.float32)
        self._columns, self._rows = axis[None, :], axis[:, None]

    def __len__(self) -> int:
        return self._count

    def read(self, index: int) -> Tuple[np.ndarray, int]:
        """Pixels and label of image ``index``."""
        label = index % len(self.classes)
        random = np.random.Generator(np.random.Philox(key=[self._salt, index]))
        angle = np.pi * (label % _ANGLES) / _ANGLES
        period = 6.0 + 3.0 * (label // _ANGLES % _PERIODS)
        along = np.float32(np.cos(angle)) * self._columns + np.float32(np.sin(angle)) * self._rows
        wave = np.sin(along * np.float32(2 * np.pi / period) + np.float32(2 * np.pi * random.random()))
        hue = 2 * np.pi * (np.arange(3) / 3 + label // (_ANGLES * _PERIODS) / 10)
        noise = random.integers(0, 48, size=(_SIDE, _SIDE, 1), dtype=np.uint8)
        colour = (60 + 40 * np.cos(hue)).astype(np.float32)
        return (100 + wave[:, :, None] * colour).astype(np.uint8) + noise, label


class SyntheticSource(Source):
    """The same noise for every image, (size, size, 3); as many images as ImageNet has."""

    flip = False
    kind = "synthetic: one fixed image"
    is_synthetic = True

    def __init__(self, data: str, split: str, size: int) -> None:
        count = parse_classes(data)
        self.classes = tuple(f"class{number}" for number in range(count))
        self.location = f"{data}/{split}"
        self.manifest_hash = hashlib.sha256(f"synthetic-1 {count}".encode()).hexdigest()
        self._count = _IMAGENET_IMAGES[split]
        random = np.random.Generator(np.random.Philox(key=[0, 0]))
        self._image = random.integers(0, 256, size=(size, size, 3), dtype=np.uint8)

    def __len__(self) -> int:
        return self._count

    def read(self, index: int) -> Tuple[np.ndarray, int]:
        """The image, and labels in turn."""
        return self._image, index % len(self.classes)
