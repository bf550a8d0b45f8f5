"""Images through PIL: every format, every colour space, every orientation."""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import Any, Iterator

import numpy as np
from PIL import Image, ImageOps

from .decode import OpenImage, Window, reduction
from .source import UnreadableImageError

_ORIENTATION_TAG = 0x0112
_TURNED = (5, 6, 7, 8)  # EXIF orientations that exchange height and width


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """Turns whatever PIL raises on bad bytes into UnreadableImageError, and silences its warnings.

    On damaged data PIL raises a dozen unrelated types (OSError, SyntaxError, struct.error,
    DecompressionBombError, ...), and a data set of a million images may hold all of them; hence the wide net,
    around PIL's calls only.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except MemoryError:
            raise
        except Exception as error:
            raise UnreadableImageError(f"{type(error).__name__}: {error}".splitlines()[0]) from error


class PilImage(OpenImage):
    """Any image that PIL reads."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        with _reading():
            self._image: Any = Image.open(io.BytesIO(data))
            self._orientation = self._image.getexif().get(_ORIENTATION_TAG, 1)
            width, height = self._image.size
        self.height, self.width = (width, height) if self._orientation in _TURNED else (height, width)

    def pixels(self, window: Window, at_least: int, *, fast: bool = False) -> np.ndarray:
        """See OpenImage; only upright JPEGs are reduced."""
        factor = reduction(window, at_least)
        with _reading():
            # PIL can reduce an image only before its first use, so a second use starts afresh
            image, self._image = self._image or Image.open(io.BytesIO(self._data)), None
            width, height = image.size
            if factor > 1 and self._orientation == 1 and image.format == "JPEG":
                image.draft("RGB", (width // factor, height // factor))
            factor = round(width / image.size[0])
            array = np.asarray(_to_rgb(image, self._orientation))
        return window.reduced(factor, *array.shape[:2]).cut(array)


def _to_rgb(image: Any, orientation: int) -> Any:
    """PIL image as upright 8-bit RGB: 16-bit grey keeps its upper byte, transparency is dropped."""
    if image.mode.startswith("I"):
        upper = np.asarray(image).astype(np.int64) >> 8
        image = Image.fromarray(np.clip(upper, 0, 255).astype(np.uint8))
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    if orientation != 1:
        image = ImageOps.exif_transpose(image)
    return image.convert("RGB")
