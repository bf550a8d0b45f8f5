"""Images through PIL: every format, every colour space, every orientation."""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import Any, Iterator, Optional, Tuple

import numpy as np
from PIL import Image

from .image import OpenImage, Window, check_pixels, reduction
from .source import UnreadableImageError

_ORIENTATION_TAG = 0x0112
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "PPM", "TIFF")
_TURNS = {
    2: Image.FLIP_LEFT_RIGHT,
    3: Image.ROTATE_180,
    4: Image.FLIP_TOP_BOTTOM,
    5: Image.TRANSPOSE,
    6: Image.ROTATE_270,
    7: Image.TRANSVERSE,
    8: Image.ROTATE_90,
}
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
        except UnreadableImageError:
            raise
        except MemoryError as error:
            raise UnreadableImageError("more memory than there is") from error
        except Exception as error:
            raise UnreadableImageError(f"{type(error).__name__}: {error}".splitlines()[0]) from error


class PilImage(OpenImage):
    """Any image of a common format. Others that Pillow knows start programs, or hold more than pixels."""

    def __init__(self, data: bytes, max_pixels: int) -> None:
        self._data = data
        size = _webp_size(data)
        if size is not None:  # Pillow takes memory for these while it opens them
            check_pixels(*size, max_pixels)
        with _reading():
            self._image: Any = _open(data)
            width, height = self._image.size
        check_pixels(width, height, max_pixels)
        self._orientation = _orientation(self._image)
        self.height, self.width = (width, height) if self._orientation in _TURNED else (height, width)

    def pixels(self, window: Window, at_least: int, *, fast: bool = False) -> np.ndarray:
        """See OpenImage; only upright JPEGs are reduced."""
        factor = reduction(window, at_least)
        with _reading():
            # PIL can reduce an image only before its first use, so a second use starts afresh
            image, self._image = self._image or _open(self._data), None
            width, height = image.size
            if factor > 1 and self._orientation == 1 and image.format == "JPEG":
                image.draft("RGB", (width // factor, height // factor))
            factor = round(width / image.size[0])
            array = np.asarray(_to_rgb(image, self._orientation))
        return window.reduced(factor, *array.shape[:2]).cut(array)


def _open(data: bytes) -> Any:
    return Image.open(io.BytesIO(data), formats=_FORMATS)


def _webp_size(data: bytes) -> Optional[Tuple[int, int]]:
    """Width and height by the header of a WebP image; None for other formats."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < 30:
        return None
    if data[12:16] == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    sides = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (26, 28))
    return next(sides), next(sides)


def _orientation(image: Any) -> int:
    """EXIF orientation, 1 to 8; 1 (upright) where there is none, and where it is damaged."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # Pillow raises as many types for EXIF as for images, see _reading
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _to_rgb(image: Any, orientation: int) -> Any:
    """PIL image as upright 8-bit RGB: 16-bit grey keeps its upper byte, transparency is dropped."""
    if image.mode.startswith("I"):
        upper = np.asarray(image) >> 8
        image = Image.fromarray(np.clip(upper, 0, 255).astype(np.uint8))
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    image = image.convert("RGB")
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image
