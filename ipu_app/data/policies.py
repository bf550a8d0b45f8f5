"""What is done to a cropped image's pixels in training: RandAugment, or AutoAugment's policy for ImageNet.

A policy draws from the sample's own random numbers, so that an image depends on (seed, key) alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Optional, Tuple

import numpy as np

from .keyed_random import KeyedRandom
from .pixel_tables import PixelTables
from .randaugment import OPS, SIGNED, Argument, Reach, argument, transform

Policy = Callable[[np.ndarray, KeyedRandom], np.ndarray]
AUTOAUGMENT_REACH = Reach(translate=250, cutout=100)

Step = Tuple[str, float, float]  # operation, probability, magnitude
# Policy "v0" of AutoAugment (arXiv 1805.09501) as the EfficientNets were trained with: pairs of steps.
AUTOAUGMENT_V0: Tuple[Tuple[Step, Step], ...] = (
    (("Equalize", 0.8, 1), ("ShearY", 0.8, 4)),
    (("Color", 0.4, 9), ("Equalize", 0.6, 3)),
    (("Color", 0.4, 1), ("Rotate", 0.6, 8)),
    (("Solarize", 0.8, 3), ("Equalize", 0.4, 7)),
    (("Solarize", 0.4, 2), ("Solarize", 0.6, 2)),
    (("Color", 0.2, 0), ("Equalize", 0.8, 8)),
    (("Equalize", 0.4, 8), ("SolarizeAdd", 0.8, 3)),
    (("ShearX", 0.2, 9), ("Rotate", 0.6, 8)),
    (("Color", 0.6, 1), ("Equalize", 1.0, 2)),
    (("Invert", 0.4, 9), ("Rotate", 0.6, 0)),
    (("Equalize", 1.0, 9), ("ShearY", 0.6, 3)),
    (("Color", 0.4, 7), ("Equalize", 0.6, 0)),
    (("Posterize", 0.4, 6), ("AutoContrast", 0.4, 7)),
    (("Solarize", 0.6, 8), ("Color", 0.6, 9)),
    (("Solarize", 0.2, 4), ("Rotate", 0.8, 9)),
    (("Rotate", 1.0, 7), ("TranslateY", 0.8, 9)),
    (("ShearX", 0.0, 0), ("Solarize", 0.8, 4)),
    (("ShearY", 0.8, 0), ("Color", 0.6, 4)),
    (("Color", 1.0, 0), ("Rotate", 0.6, 2)),
    (("Equalize", 0.8, 4), ("Equalize", 0.0, 8)),
    (("Equalize", 1.0, 4), ("AutoContrast", 0.6, 2)),
    (("ShearY", 0.4, 7), ("SolarizeAdd", 0.6, 7)),
    (("Posterize", 0.8, 2), ("Solarize", 0.6, 10)),
    (("Solarize", 0.6, 8), ("Equalize", 0.6, 1)),
    (("Color", 0.8, 6), ("Rotate", 0.4, 5)),
)


@dataclass(frozen=True)
class RandAugment:
    """``operations`` of the sixteen, each uniformly drawn and always applied, at one magnitude."""

    magnitude: float
    operations: int = 2

    def __post_init__(self) -> None:
        argument(OPS[0], self.magnitude)  # refuses magnitudes that there are not
        if self.operations < 1:
            raise ValueError(f"randaugment.operations={self.operations}: must be 1 or more")

    def __call__(
        self, image: np.ndarray, random: KeyedRandom, tables: Optional[PixelTables] = None
    ) -> np.ndarray:
        """The image (H, W, 3) after the operations that ``random`` chooses."""
        for _ in range(self.operations):
            op = OPS[random.below(len(OPS))]
            image = _changed(image, op, argument(op, self.magnitude), random, tables)
        return image


@dataclass(frozen=True)
class AutoAugment:
    """One of a policy's pairs, uniformly drawn, each step applied with its probability."""

    pairs: Tuple[Tuple[Step, Step], ...] = AUTOAUGMENT_V0

    def __call__(self, image: np.ndarray, random: KeyedRandom) -> np.ndarray:
        """The image (H, W, 3) after the steps that ``random`` chooses."""
        for op, probability, magnitude in self.pairs[random.below(len(self.pairs))]:
            if random.random() < probability:
                image = _changed(image, op, argument(op, magnitude, AUTOAUGMENT_REACH), random)
        return image


def _changed(
    image: np.ndarray, op: str, value: Argument, random: KeyedRandom, tables: Optional[PixelTables] = None
) -> np.ndarray:
    """One operation, its sign and its centre drawn where it has one."""
    height, width, _ = image.shape
    sign = 1 if op not in SIGNED or random.random() < 0.5 else -1
    centre = (random.below(height), random.below(width)) if op == "Cutout" else None
    return transform(image, op, value, sign=sign, centre=centre, tables=tables)
