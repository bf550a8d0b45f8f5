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
from typing import Optional

from ipu_app.config.kinds import DECODERS

from .image import MAX_PIXELS, OpenImage
from .pil_image import PilImage


def choose_decoder(name: str) -> str:
    """The decoder that ``auto`` stands for on this machine, or ``name`` itself if it is installed."""
    if name not in ("auto", *DECODERS):
        raise ValueError(f"data.decoder={name!r}: choose one of {', '.join(('auto', *DECODERS))}")
    installed = [key for key, kind in DECODERS.items() if importlib.util.find_spec(kind.package) is not None]
    if name == "auto":
        return installed[0]
    if name not in installed:
        package = DECODERS[name].package
        raise ValueError(
            f"data.decoder={name}: the package {package} is not installed; allowed: {', '.join(installed)}"
        )
    return name


def open_image(data: bytes, decoder: str, *, max_pixels: int = MAX_PIXELS) -> OpenImage:
    """Reads the header, with a decoder that ``choose_decoder`` named; PIL opens what that leaves.

    UnreadableImageError for what is no image, or one of more than ``max_pixels``, before it is decoded.
    """
    opened: Optional[OpenImage] = DECODERS[decoder].load()(data, max_pixels)
    return PilImage(data, max_pixels) if opened is None else opened
