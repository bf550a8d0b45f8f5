"""Crop, resize, flip on the host: an open image to a uint8 tensor (3, size, size).

Training on photographs: random resized crop, area 0.05 to 1, aspect 3/4 to 4/3, bilinear, mirrored every
second time (Inception's augmentation, torchvision's sampling rule). Validation: shorter side to int(size *
256 / 224), centre crop. Images of a few dozen pixels are resized to ``size`` and, in training, shifted by up
to an eighth of it. Bilinear is antialiased in validation, as in PIL and torchvision. In training it is plain,
as in the paper's TensorFlow pipeline, on an image that the decoder has reduced to less than twice the size;
where that was not possible (a PNG, a long crop) it is antialiased.

Random numbers come from a generator that the caller seeds per sample.
"""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Callable, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from torch.nn import functional as F

from .decode import OpenImage, Window

AREA = (0.05, 1.0)
ASPECT = (3 / 4, 4 / 3)
_CROP_TRIES = 10
_SHIFT = 8  # small images are shifted by up to size / 8 pixels each way


@dataclass(frozen=True)
class Preprocess:
    """How images are made ready: ``size`` pixels a side; ``augment`` (training) or not; for the latter,
    ``resize`` is the shorter side before the centre crop (default int(size * 256 / 224)). ``seed`` is the
    augmentation's.
    """

    size: int
    augment: bool = False
    resize: Optional[int] = None
    seed: int = 0
    decoder: str = "auto"

    def __post_init__(self) -> None:
        if self.size < 8:
            raise ValueError(f"size={self.size}: must be 8 pixels or more")
        if self.resize is not None and self.resize < self.size:
            raise ValueError(f"resize={self.resize}: must be at least size={self.size}")

    @property
    def shorter_side(self) -> int:
        """Pixels of the shorter side before the centre crop."""
        return int(self.size * 256 / 224) if self.resize is None else self.resize


class Crop(NamedTuple):
    """What part of the image is taken, and whether it is mirrored."""

    window: Window
    flip: bool


def random_resized_crop(
    height: int, width: int, draws: Sequence[float], area: Tuple[float, float] = AREA
) -> Window:
    """A random window of an image of (height, width) pixels, from 22 numbers ``draws`` in [0, 1).

    Area is uniform in ``area`` times the image's, log aspect (width / height) uniform between 3/4 and 4/3;
    what does not fit is drawn again, ten times at most, then the largest centred window of an allowed aspect
    is taken.
    """
    low, high = math.log(ASPECT[0]), math.log(ASPECT[1])
    for attempt in range(_CROP_TRIES):
        target = height * width * (area[0] + (area[1] - area[0]) * draws[2 * attempt])
        aspect = math.exp(low + (high - low) * draws[2 * attempt + 1])
        w, h = round(math.sqrt(target * aspect)), round(math.sqrt(target / aspect))
        if 0 < w <= width and 0 < h <= height:
            return Window(int(draws[-2] * (height - h + 1)), int(draws[-1] * (width - w + 1)), h, w)
    ratio = min(max(width / height, ASPECT[0]), ASPECT[1])
    w, h = min(width, max(1, round(height * ratio))), min(height, max(1, round(width / ratio)))
    return Window((height - h) // 2, (width - w) // 2, h, w)


def draw_crop(height: int, width: int, random: Random, *, flip: bool) -> Crop:
    """A random resized crop, mirrored with probability 1/2 where ``flip`` allows it."""
    mirror = random.random() < 0.5
    draws = [random.random() for _ in range(2 * _CROP_TRIES + 2)]
    return Crop(random_resized_crop(height, width, draws), flip and mirror)


Resize = Callable[[np.ndarray, int, int], np.ndarray]


class Resizers(NamedTuple):
    """Two ways to (height, width): ``plain`` bilinear, for less than 2 to 1, and ``smooth``, antialiased."""

    plain: Resize
    smooth: Resize

    def __call__(self, pixels: np.ndarray, height: int, width: int) -> np.ndarray:
        """Plain where that misses no pixel, else smooth."""
        if pixels.shape[:2] == (height, width):
            return pixels
        is_close = pixels.shape[0] < 2 * height and pixels.shape[1] < 2 * width
        return (self.plain if is_close else self.smooth)(pixels, height, width)


def _plain_opencv(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Four neighbours, on this thread alone: the worker processes already fill the machine."""
    import cv2

    if cv2.getNumThreads() != 1:
        cv2.setNumThreads(1)
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)


def _torch(pixels: np.ndarray, height: int, width: int, *, antialias: bool) -> np.ndarray:
    if not pixels.flags.writeable:  # PIL's arrays; torch warns of them
        pixels = pixels.copy()
    image = torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0)
    image = F.interpolate(image, size=(height, width), mode="bilinear", antialias=antialias)
    return image[0].permute(1, 2, 0).numpy()


_plain_torch = partial(_torch, antialias=False)
_smooth_torch = partial(_torch, antialias=True)


def _smooth_pil(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize((width, height), Image.BILINEAR))


def choose_resizers() -> Resizers:
    """The fastest on this machine: OpenCV, else torch (since 2.0 it resizes bytes), else PIL.

    OpenCV's plain pixels equal torch's, and torch's smooth ones PIL's, to one level. A torch before 2.0
    without OpenCV has only PIL's smooth ones.
    """
    try:
        _smooth_torch(np.zeros((4, 4, 3), dtype=np.uint8), 2, 2)
    except (RuntimeError, TypeError):
        plain, smooth = _smooth_pil, _smooth_pil
    else:
        plain, smooth = _plain_torch, _smooth_torch
    if importlib.util.find_spec("cv2") is not None:
        plain = _plain_opencv
    return Resizers(plain, smooth)


def to_tensor(pixels: np.ndarray, flip: bool) -> torch.Tensor:
    """(H, W, 3) -> contiguous uint8 tensor (3, H, W), mirrored if ``flip``."""
    if flip:
        pixels = pixels[:, ::-1]
    return torch.from_numpy(np.array(pixels.transpose(2, 0, 1), order="C"))


def train_photo(image: OpenImage, size: int, random: Random, *, flip: bool, resize: Resizers) -> torch.Tensor:
    """Random resized crop and mirror: (3, size, size)."""
    crop = draw_crop(image.height, image.width, random, flip=flip)
    return to_tensor(resize(image.pixels(crop.window, size, fast=True), size, size), crop.flip)


def train_small(image: OpenImage, size: int, random: Random, *, flip: bool, resize: Resizers) -> torch.Tensor:
    """Whole image, shifted by up to size / 8 pixels each way over black, mirrored where allowed."""
    whole = resize(image.pixels(Window(0, 0, image.height, image.width), size), size, size)
    reach = size // _SHIFT
    down, right = (int(random.random() * (2 * reach + 1)) - reach for _ in range(2))
    shifted = np.zeros_like(whole)
    shifted[max(down, 0) : size + min(down, 0), max(right, 0) : size + min(right, 0)] = whole[
        max(-down, 0) : size - max(down, 0), max(-right, 0) : size - max(right, 0)
    ]
    return to_tensor(shifted, flip and random.random() < 0.5)


def evaluate(image: OpenImage, size: int, shorter_side: int, *, resize: Resizers) -> torch.Tensor:
    """Shorter side to ``shorter_side`` pixels, then the centre (3, size, size); rounds as torchvision
    does.
    """
    height, width = image.height, image.width
    if height <= width:
        rows, columns = shorter_side, int(shorter_side * width / height)
    else:
        rows, columns = int(shorter_side * height / width), shorter_side
    whole = image.pixels(Window(0, 0, height, width), shorter_side)
    if whole.shape[:2] != (rows, columns):
        whole = resize.smooth(whole, rows, columns)
    top, left = round((rows - size) / 2), round((columns - size) / 2)
    return to_tensor(Window(top, left, size, size).cut(whole), flip=False)
