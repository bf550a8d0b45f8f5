"""Crop, resize, flip on the host: an open image to a uint8 tensor (3, size, size).

Training on photographs: random resized crop, area 0.05 to 1, aspect 3/4 to 4/3, bilinear, mirrored every
second time (Inception's augmentation, torchvision's sampling rule). Validation: shorter side to int(size *
256 / 224), centre crop; or by EfficientNetV2's rule (``CROPS``). Images of a few dozen pixels are resized to
``size`` and, in training, shifted by up to an eighth of it. Bilinear is antialiased in validation, as in PIL
and torchvision. In training it is plain, as in the paper's TensorFlow pipeline, on an image that the decoder
has reduced to less than twice the size; where that was not possible (a PNG, a long crop) it is antialiased.
A policy (RandAugment, AutoAugment) may then change the cropped, mirrored pixels.

Random numbers come from a generator that the caller seeds per sample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable, Dict, NamedTuple, Optional

import numpy as np
import torch

from .image import MAX_PIXELS, OpenImage, Window
from .keyed_random import KeyedRandom
from .pixel_ops import PixelOps
from .policies import Policy

AREA = (0.05, 1.0)
ASPECT = (3 / 4, 4 / 3)
_CROP_TRIES = 10
_V2_WHOLE = 320  # pixels from which on EfficientNetV2 is evaluated on whole images
_SHIFT = 8  # small images are shifted by up to size / 8 pixels each way


def _v2_side(size: int) -> Optional[int]:
    return size + 32 if size < _V2_WHOLE else None


# By rule: from the size to the shorter side before the centre crop; None: the whole image is squeezed to a
# square
CROPS: Dict[str, Callable[[int], Optional[int]]] = {
    "published": lambda size: int(size * 256 / 224),
    "v2": _v2_side,
}


@dataclass(frozen=True)
class Preprocess:
    """How images are made ready: ``size`` pixels a side; ``augment`` (training) or not; for the latter,
    ``resize`` is the shorter side before the centre crop (default: by the rule ``crop``, int(size * 256 /
    224) or EfficientNetV2's). ``seed`` is the augmentation's; ``policy`` its last part, what is done to the
    cropped pixels. Images of more than ``max_pixels`` are unreadable.
    """

    size: int
    augment: bool = False
    resize: Optional[int] = None
    seed: int = 0
    decoder: str = "auto"
    crop: str = "published"
    policy: Optional[Policy] = None
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        if self.size < 8:
            raise ValueError(f"size={self.size}: must be 8 pixels or more")
        if self.resize is not None and self.resize < self.size:
            raise ValueError(f"resize={self.resize}: must be at least size={self.size}")

    @property
    def shorter_side(self) -> Optional[int]:
        """Pixels of the shorter side before the centre crop; None: no crop, the image is made a square."""
        return CROPS[self.crop](self.size) if self.resize is None else self.resize


class Crop(NamedTuple):
    """What part of the image is taken, and whether it is mirrored."""

    window: Window
    flip: bool


def random_resized_crop(height: int, width: int, random: KeyedRandom) -> Window:
    """A random window of an image of (height, width) pixels.

    Area is uniform in 0.05 to 1 times the image's, log aspect (width / height) uniform between 3/4 and 4/3;
    what does not fit is drawn again, ten times at most, then the largest centred window of an allowed aspect
    is taken.
    """
    low, high = math.log(ASPECT[0]), math.log(ASPECT[1])
    for _ in range(_CROP_TRIES):
        target = height * width * (AREA[0] + (AREA[1] - AREA[0]) * random.random())
        aspect = math.exp(low + (high - low) * random.random())
        w, h = round(math.sqrt(target * aspect)), round(math.sqrt(target / aspect))
        if 0 < w <= width and 0 < h <= height:
            return Window(random.below(height - h + 1), random.below(width - w + 1), h, w)
    ratio = min(max(width / height, ASPECT[0]), ASPECT[1])
    w, h = min(width, max(1, round(height * ratio))), min(height, max(1, round(width / ratio)))
    return Window((height - h) // 2, (width - w) // 2, h, w)


def draw_crop(height: int, width: int, random: KeyedRandom, *, flip: bool) -> Crop:
    """A random resized crop, mirrored with probability 1/2 where ``flip`` allows it."""
    mirror = random.random() < 0.5
    return Crop(random_resized_crop(height, width, random), flip and mirror)


def train_photo(
    image: OpenImage,
    size: int,
    random: KeyedRandom,
    *,
    flip: bool,
    ops: PixelOps,
    policy: Optional[Policy] = None,
) -> torch.Tensor:
    """Random resized crop, mirrored where ``flip`` allows it, changed by the policy: (3, size, size)."""
    crop = draw_crop(image.height, image.width, random, flip=flip)
    pixels = ops.resize(image.pixels(crop.window, size, fast=True), size, size)
    if policy is None:
        return ops.tensor(pixels, crop.flip)
    return ops.tensor(policy(_mirrored(pixels, crop.flip), random))


def train_small(
    image: OpenImage,
    size: int,
    random: KeyedRandom,
    *,
    flip: bool,
    ops: PixelOps,
    policy: Optional[Policy] = None,
) -> torch.Tensor:
    """Whole image, shifted by up to size / 8 pixels each way over black, then as `train_photo`."""
    whole = ops.resize(image.pixels(Window(0, 0, image.height, image.width), size), size, size)
    reach = size // _SHIFT
    down, right = (random.below(2 * reach + 1) - reach for _ in range(2))
    shifted = np.zeros_like(whole)
    shifted[max(down, 0) : size + min(down, 0), max(right, 0) : size + min(right, 0)] = whole[
        max(-down, 0) : size - max(down, 0), max(-right, 0) : size - max(right, 0)
    ]
    mirror = flip and random.random() < 0.5
    if policy is None:
        return ops.tensor(shifted, mirror)
    return ops.tensor(policy(_mirrored(shifted, mirror), random))


def _mirrored(pixels: np.ndarray, mirror: bool) -> np.ndarray:
    """Contiguous pixels, as a policy wants them."""
    return np.ascontiguousarray(pixels[:, ::-1] if mirror else pixels)


def evaluate(image: OpenImage, size: int, shorter_side: Optional[int], *, ops: PixelOps) -> torch.Tensor:
    """Shorter side to ``shorter_side`` pixels, then the centre (3, size, size); rounds as torchvision
    does. None: the whole image, squeezed.
    """
    height, width = image.height, image.width
    if shorter_side is None:
        whole = image.pixels(Window(0, 0, height, width), size)
        return ops.tensor(whole if whole.shape[:2] == (size, size) else ops.smooth(whole, size, size))
    if height <= width:
        rows, columns = shorter_side, int(shorter_side * width / height)
    else:
        rows, columns = int(shorter_side * height / width), shorter_side
    whole = image.pixels(Window(0, 0, height, width), shorter_side)
    if whole.shape[:2] != (rows, columns):
        whole = ops.smooth(whole, rows, columns)
    top, left = round((rows - size) / 2), round((columns - size) / 2)
    return ops.tensor(Window(top, left, size, size).cut(whole))
