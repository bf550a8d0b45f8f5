"""An image whose header has been read: what every decoder gives, and the window of it that is wanted."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .source import UnreadableImageError

MAX_PIXELS = 100_000_000  # above it most likely a header is damaged, or meant to take all memory
MOST_PIXELS = 178_956_970  # Pillow opens no larger image
MAX_REDUCTION = 8  # JPEG's 8x8 blocks decode at 1/1, 1/2, 1/4 and 1/8


class Window(NamedTuple):
    """A rectangle of an image, in pixels."""

    top: int
    left: int
    height: int
    width: int

    def reduced(self, factor: int, height: int, width: int) -> Window:
        """This window in the same image after reduction by ``factor`` to (height, width)."""
        if factor == 1:
            return self
        top, left = min(self.top // factor, height - 1), min(self.left // factor, width - 1)
        rows, columns = max(1, round(self.height / factor)), max(1, round(self.width / factor))
        return Window(top, left, min(rows, height - top), min(columns, width - left))

    def cut(self, pixels: np.ndarray) -> np.ndarray:
        """The window's part of (H, W, C) pixels, as a view."""
        return pixels[self.top : self.top + self.height, self.left : self.left + self.width]


def reduction(window: Window, at_least: int) -> int:
    """Largest of 1, 2, 4, 8 that leaves both sides of the window ``at_least`` pixels long."""
    factor = 1
    while factor < MAX_REDUCTION and min(window.height, window.width) >= 2 * factor * at_least:
        factor *= 2
    return factor


class OpenImage:
    """An image whose header has been read: ``height`` and ``width`` in pixels, upright."""

    height: int
    width: int

    def pixels(self, window: Window, at_least: int, *, fast: bool = False) -> np.ndarray:
        """The window as uint8 (h, w, 3), perhaps reduced by a power of two to no less than ``at_least`` a
        side.

        ``fast`` allows the decoder's less exact arithmetic: a tenth less time, 1 to 2 levels mean difference.
        """
        raise NotImplementedError


class ArrayImage(OpenImage):
    """Raw uint8 pixels (H, W, 3), for sources that hold no encoded images."""

    def __init__(self, array: np.ndarray) -> None:
        self.height, self.width = array.shape[:2]
        self._array = array

    def pixels(self, window: Window, at_least: int, *, fast: bool = False) -> np.ndarray:
        """The window, never reduced."""
        return window.cut(self._array)


def check_pixels(width: int, height: int, max_pixels: int) -> None:
    """UnreadableImageError for an image that is larger than allowed."""
    if height * width > max_pixels:
        raise UnreadableImageError(f"{width}x{height} pixels; data.max_pixels allows {max_pixels}")
