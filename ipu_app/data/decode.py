"""Encoded images to pixels, as few of them as the crop needs.

A decoder opens an image (reads its header), so that the crop can be chosen from its size, and then decodes
what the crop's window needs: no rows below it, and at 1/2, 1/4 or 1/8 (in the DCT domain, nearly free) where
the window is at least that many times the wanted size. The EXIF orientation is honoured by every decoder.

``simplejpeg`` (libjpeg-turbo, static in a wheel) takes JPEGs and leaves everything else, CMYK included, to
``pil``. It is the fastest that installs from wheels alone on Python 3.8 to 3.13: ``benchmarks``' suite loader
measures it, PIL and torchvision. (PyTurboJPEG needs a system library; torchvision's decoders are deprecated
since 0.29.) Both give the same pixels, but for training simplejpeg uses its fast arithmetic: a cropped and
resized image then differs from PIL's by less than 2 levels of 255 on average, and by less than 3 in any one
image.
"""

from __future__ import annotations

import importlib.util
from typing import NamedTuple

import numpy as np

from .jpeg import JpegHeader, cut_height, parse_header
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


class JpegImage(OpenImage):
    """An upright RGB or grey JPEG, decoded by libjpeg-turbo through the package simplejpeg."""

    def __init__(self, data: bytes, header: JpegHeader) -> None:
        self.height, self.width = header.height, header.width
        self._data, self._header = data, header

    def pixels(self, window: Window, at_least: int, *, fast: bool = False) -> np.ndarray:
        """See OpenImage."""
        import simplejpeg

        factor = reduction(window, at_least)
        cut = cut_height(self._data, self._header, window.top + window.height)
        rows, data = (self.height, self._data) if cut is None else (cut.height, cut.data)
        floor = (-(-rows // factor), -(-self.width // factor)) if factor > 1 else (0, 0)
        try:
            array = simplejpeg.decode_jpeg(
                data,
                fastdct=fast,
                fastupsample=fast,
                min_height=floor[0],
                min_width=floor[1],
                # a damaged file raises; but one that was cut has, by design, data left over
                strict=cut is None,
            )
        except ValueError:
            # what libjpeg merely warns of is raised too: PIL knows the readable from the truncated
            return _pil(self._data, MOST_PIXELS).pixels(window, at_least)
        return window.reduced(round(self.width / array.shape[1]), *array.shape[:2]).cut(array)


def _pil(data: bytes, max_pixels: int) -> OpenImage:
    from .pil_image import PilImage

    return PilImage(data, max_pixels)


def check_pixels(width: int, height: int, max_pixels: int) -> None:
    """UnreadableImageError for an image that is larger than allowed."""
    if height * width > max_pixels:
        raise UnreadableImageError(f"{width}x{height} pixels; data.max_pixels allows {max_pixels}")


DECODERS = ("auto", "simplejpeg", "pil")


def choose_decoder(name: str) -> str:
    """The decoder that ``auto`` stands for on this machine, or ``name`` itself if it is installed."""
    if name not in DECODERS:
        raise ValueError(f"data.decoder={name!r}: choose one of {', '.join(DECODERS)}")
    has_simplejpeg = importlib.util.find_spec("simplejpeg") is not None
    if name == "simplejpeg" and not has_simplejpeg:
        raise ValueError("data.decoder=simplejpeg: the package simplejpeg is not installed; allowed: pil")
    if name == "auto":
        return "simplejpeg" if has_simplejpeg else "pil"
    return name


def open_image(data: bytes, decoder: str, *, max_pixels: int = MAX_PIXELS) -> OpenImage:
    """Reads the header, with a decoder that ``choose_decoder`` named.

    UnreadableImageError for what is no image, or one of more than ``max_pixels``, before it is decoded.
    """
    if decoder == "simplejpeg":
        header = parse_header(data)
        if header is not None and header.components in (1, 3) and header.orientation == 1:
            check_pixels(header.width, header.height, max_pixels)
            return JpegImage(data, header)
    return _pil(data, max_pixels)
