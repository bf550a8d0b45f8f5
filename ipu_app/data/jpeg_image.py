"""JPEGs through libjpeg-turbo, by the package simplejpeg; what it does not open is left to PIL."""

from __future__ import annotations

from typing import Optional

import numpy as np

from .image import MOST_PIXELS, OpenImage, Window, check_pixels, reduction
from .jpeg import JpegHeader, cut_height, parse_header
from .pil_image import PilImage


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
            return PilImage(self._data, MOST_PIXELS).pixels(window, at_least)
        return window.reduced(round(self.width / array.shape[1]), *array.shape[:2]).cut(array)


def open_jpeg(data: bytes, max_pixels: int) -> Optional[OpenImage]:
    """An upright RGB or grey JPEG; None for anything else."""
    header = parse_header(data)
    if header is None or header.components not in (1, 3) or header.orientation != 1:
        return None
    check_pixels(header.width, header.height, max_pixels)
    return JpegImage(data, header)
