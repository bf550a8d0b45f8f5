"""Looking pixels up: by level, by channel, by place; through OpenCV where it is installed, else numpy.

Both give the same bytes: all arithmetic is on whole numbers. Shapes: images uint8 (H, W, 3).
"""

from __future__ import annotations

import functools
import importlib.util
from typing import NamedTuple, Tuple

import numpy as np

# Grey levels by OpenCV's whole numbers: .299, .587, .114 of 2^15, rounded to the nearest level.
_GREY_BITS = 15
_RED, _GREEN, _BLUE = 9798, 19235, 3735
# Blending keeps so many bits of fraction, which leaves 16-bit sums in range for factors up to 8.
_FRACTION_BITS = 4
_FARTHEST = 2**15 - 1  # OpenCV's places are 16-bit


class Sampled(NamedTuple):
    """Where each pixel comes from, whole numbers that broadcast to (H, W); outside the image: nowhere."""

    rows: np.ndarray
    columns: np.ndarray


class PixelTables:
    """By numpy alone; see `OpenCvTables`."""

    def same(self, image: np.ndarray, table: np.ndarray) -> np.ndarray:
        """Each byte replaced by ``table`` (256,), in the table's type."""
        return np.take(table, image)

    def channels(self, image: np.ndarray, tables: np.ndarray) -> np.ndarray:
        """Each channel replaced by its own column of ``tables`` (256, 3), bytes."""
        return np.stack([np.take(tables[:, c], image[..., c]) for c in range(3)], axis=-1)

    def histograms(self, image: np.ndarray) -> Tuple[np.ndarray, ...]:
        """How often each level occurs, (256,) for each channel."""
        return tuple(np.bincount(image[..., c].reshape(-1), minlength=256) for c in range(3))

    def grey(self, image: np.ndarray) -> np.ndarray:
        """Grey levels (H, W)."""
        red, green, blue = (image[..., c].astype(np.int32) for c in range(3))
        half = 1 << (_GREY_BITS - 1)
        return ((red * _RED + green * _GREEN + blue * _BLUE + half) >> _GREY_BITS).astype(np.uint8)

    def spread(self, grey: np.ndarray) -> np.ndarray:
        """Grey levels (H, W) as an image."""
        return np.repeat(grey, 3, axis=1).reshape(*grey.shape, 3)

    def blend(self, base: np.ndarray, image: np.ndarray, factor: float, *, inner: bool = False) -> np.ndarray:
        """base + factor * (image - base), cut at 0 and 255, fractions dropped (of sixteenths).

        With ``inner`` the base has no outermost pixels, and those of the image do not count.
        """
        levels = np.arange(256) * float(1 << _FRACTION_BITS)
        own, other = (np.round(levels * part).astype(np.int16) for part in (factor, 1 - factor))
        sums = self.same(base, other)
        sums += self.same(image, own)[1:-1, 1:-1] if inner else self.same(image, own)
        sums >>= _FRACTION_BITS
        return np.clip(sums, 0, 255, out=sums).astype(np.uint8)

    def sample(self, image: np.ndarray, places: Sampled, fill: int) -> np.ndarray:
        """The image with each pixel taken from its place, ``fill`` where that is outside."""
        height, width, _ = image.shape
        rows, columns = np.broadcast_arrays(places.rows, places.columns)
        outside = (rows < 0) | (rows >= height) | (columns < 0) | (columns >= width)
        index = np.where(outside, height * width, rows * width + columns)
        pixels = np.concatenate([image.reshape(-1, 3), np.full((1, 3), fill, np.uint8)])
        return pixels.take(index.reshape(-1), axis=0).reshape(image.shape)


class OpenCvTables(PixelTables):
    """By OpenCV's lookups, several times faster."""

    def __init__(self) -> None:
        import cv2

        if cv2.getNumThreads() != 1:
            cv2.setNumThreads(1)  # the worker processes already fill the machine
        self._cv2 = cv2

    def same(self, image: np.ndarray, table: np.ndarray) -> np.ndarray:
        """See PixelTables."""
        return self._cv2.LUT(image, table)

    def channels(self, image: np.ndarray, tables: np.ndarray) -> np.ndarray:
        """See PixelTables."""
        return self._cv2.LUT(image, np.ascontiguousarray(tables).reshape(1, 256, 3))

    def histograms(self, image: np.ndarray) -> Tuple[np.ndarray, ...]:
        """See PixelTables."""
        count = functools.partial(self._cv2.calcHist, mask=None, histSize=[256], ranges=[0, 256])
        return tuple(count([image], [c]).reshape(-1).astype(np.int64) for c in range(3))

    def grey(self, image: np.ndarray) -> np.ndarray:
        """See PixelTables."""
        return self._cv2.cvtColor(image, self._cv2.COLOR_RGB2GRAY)

    def spread(self, grey: np.ndarray) -> np.ndarray:
        """See PixelTables."""
        return self._cv2.cvtColor(grey, self._cv2.COLOR_GRAY2RGB)

    def sample(self, image: np.ndarray, places: Sampled, fill: int) -> np.ndarray:
        """See PixelTables."""
        if max(image.shape) >= _FARTHEST:
            return super().sample(image, places, fill)
        height, width, _ = image.shape
        where = np.empty((height, width, 2), dtype=np.int16)
        where[..., 0] = np.clip(places.columns, -1, width)
        where[..., 1] = np.clip(places.rows, -1, height)
        nearest, constant = self._cv2.INTER_NEAREST, self._cv2.BORDER_CONSTANT
        return self._cv2.remap(image, where, None, nearest, borderMode=constant, borderValue=(fill,) * 3)


@functools.lru_cache(maxsize=None)
def choose_pixel_tables(*, opencv: bool = True) -> PixelTables:
    """OpenCV's where it is installed and allowed, else numpy's."""
    return OpenCvTables() if opencv and importlib.util.find_spec("cv2") is not None else PixelTables()
