"""RandAugment's sixteen operations (arXiv 1909.13719) on 8-bit pixels, as EfficientNetV2 was trained with.

Images are uint8 (H, W, 3), RGB. One *magnitude* M, 0 to 30, sets every operation's argument; with x = M / 10:
see `argument`. Places that an operation leaves empty become 128. Geometry takes the nearest pixel; a rotation
turns about the centre, shears start from the top left pixel, translations and Cutout are in pixels, whatever
the image's size: both as in the released trainings (github google/automl, efficientnetv2).

Two slips of the released code are not repeated: Contrast blends towards the mean of the grey image, and a
threshold or number of bits beyond 8 bits (from M = 10 for Solarize, above M = 20 for Posterize) changes
nothing. Where that code leaves no bit at all (Posterize below M = 2.5) one bit is kept.
"""

from __future__ import annotations

import math
from typing import Callable, Dict, Mapping, NamedTuple, Optional, Tuple, Union

import numpy as np

from .pixel_tables import PixelTables, Sampled, choose_pixel_tables

Argument = Union[int, float, None]
Centre = Tuple[int, int]

OPS = (
    "AutoContrast",
    "Equalize",
    "Invert",
    "Rotate",
    "Posterize",
    "Solarize",
    "Color",
    "Contrast",
    "Brightness",
    "Sharpness",
    "ShearX",
    "ShearY",
    "TranslateX",
    "TranslateY",
    "Cutout",
    "SolarizeAdd",
)
SIGNED = ("Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY")
MAX_MAGNITUDE = 30.0
FILL = 128
_BITS = 8


class Reach(NamedTuple):
    """Pixels of a translation, and of half a Cutout's side, at M = 10."""

    translate: int = 100
    cutout: int = 40


def argument(op: str, magnitude: float, reach: Reach = Reach()) -> Argument:  # noqa: B008 (immutable)
    """What ``op`` is given at this magnitude, unsigned; None for the three that take nothing.

    Degrees, shares of a side (shears), pixels, bits kept, thresholds and levels of 255, or blending factors
    (1 leaves the image as it is).
    """
    if not 0 <= magnitude <= MAX_MAGNITUDE:
        raise ValueError(f"randaugment.magnitude={magnitude}: must lie between 0 and {MAX_MAGNITUDE:g}")
    x = magnitude / 10
    values: Mapping[str, Argument] = {
        "Rotate": x * 30.0,
        "Posterize": int(x * 4),
        "Solarize": int(x * 256),
        "ShearX": x * 0.3,
        "ShearY": x * 0.3,
        "TranslateX": x * float(reach.translate),
        "TranslateY": x * float(reach.translate),
        "Cutout": int(x * reach.cutout),
        "SolarizeAdd": int(x * 110),
        **dict.fromkeys(("Color", "Contrast", "Brightness", "Sharpness"), x * 1.8 + 0.1),
        **dict.fromkeys(("AutoContrast", "Equalize", "Invert")),
    }
    if op not in values:
        raise ValueError(f"operation={op!r}: choose one of {', '.join(OPS)}")
    return values[op]


def apply(
    image: np.ndarray, op: str, magnitude: float, sign: int = 1, centre: Optional[Centre] = None
) -> np.ndarray:
    """The image after one operation; the one given stays as it is.

    ``sign`` turns the argument of the operations in SIGNED; ``centre`` (y, x) is Cutout's, by default the
    image's own.
    """
    return transform(image, op, argument(op, magnitude), sign=sign, centre=centre)


def transform(
    image: np.ndarray,
    op: str,
    value: Argument,
    *,
    sign: int = 1,
    centre: Optional[Centre] = None,
    tables: Optional[PixelTables] = None,
) -> np.ndarray:
    """`apply` with the operation's argument itself; ``tables``: what pixels are looked up with."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image: must be uint8 (H, W, 3), not {image.dtype} {image.shape}")
    tables = tables or choose_pixel_tables()
    if op == "Cutout":
        return _cutout(image, int(value or 0), centre or (image.shape[0] // 2, image.shape[1] // 2))
    return _FUNCTIONS[op](image, float(value or 0) * (sign if op in SIGNED else 1), tables)


def _auto_contrast(image: np.ndarray, _: float, tables: PixelTables) -> np.ndarray:
    """Each channel stretched to 0 .. 255."""
    height, width, _channels = image.shape
    flat = image.reshape(height, -1)
    low = flat.min(0).reshape(width, 3).min(0).astype(np.float32)
    high = flat.max(0).reshape(width, 3).max(0).astype(np.float32)
    is_flat = high <= low
    scale = np.where(is_flat, 1, 255 / np.maximum(high - low, 1)).astype(np.float32)
    shift = np.where(is_flat, 0, -low * scale).astype(np.float32)
    return tables.channels(image, _clipped(_LEVELS[:, None] * scale + shift))


def _equalize(image: np.ndarray, _: float, tables: PixelTables) -> np.ndarray:
    """Each channel's levels spread evenly, by its histogram."""
    return tables.channels(
        image, np.stack([_equal_levels(counts) for counts in tables.histograms(image)], axis=1)
    )


def _equal_levels(counts: np.ndarray) -> np.ndarray:
    """New levels (256,) for a channel of these counts (256,)."""
    present = counts[counts > 0]
    step = int(present.sum() - present[-1]) // 255
    if step == 0:
        return np.arange(256, dtype=np.uint8)
    below = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return np.minimum((below + step // 2) // step, 255).astype(np.uint8)


def _invert(image: np.ndarray, _: float, tables: PixelTables) -> np.ndarray:
    return np.invert(image)


def _posterize(image: np.ndarray, bits: float, tables: PixelTables) -> np.ndarray:
    shift = _BITS - max(1, min(int(bits), _BITS))
    return image & np.uint8(0xFF << shift & 0xFF)


def _solarize(image: np.ndarray, threshold: float, tables: PixelTables) -> np.ndarray:
    """Levels from the threshold on inverted."""
    return tables.same(image, np.where(threshold <= _LEVELS, 255 - _LEVELS, _LEVELS).astype(np.uint8))


def _solarize_add(image: np.ndarray, added: float, tables: PixelTables) -> np.ndarray:
    """Levels below 128 made brighter."""
    return tables.same(image, _clipped(np.where(_LEVELS < FILL, _LEVELS + added, _LEVELS)))


def _brightness(image: np.ndarray, factor: float, tables: PixelTables) -> np.ndarray:
    return tables.same(image, _clipped(_LEVELS * np.float32(factor)))


def _contrast(image: np.ndarray, factor: float, tables: PixelTables) -> np.ndarray:
    """Away from the mean of the grey image, or towards it."""
    mean = np.float32(int(tables.grey(image).mean(dtype=np.float64) + 0.5))
    return tables.same(image, _clipped(mean + np.float32(factor) * (_LEVELS - mean)))


def _color(image: np.ndarray, factor: float, tables: PixelTables) -> np.ndarray:
    """Away from the grey image, or towards it."""
    return image if factor == 1 else tables.blend(tables.spread(tables.grey(image)), image, factor)


def _sharpness(image: np.ndarray, factor: float, tables: PixelTables) -> np.ndarray:
    """Away from the smoothed image, or towards it; the outermost pixels stay as they are."""
    if factor == 1 or min(image.shape[:2]) < 3:
        return image
    sharp = image.copy()
    sharp[1:-1, 1:-1] = tables.blend(_smoothed(image), image, factor, inner=True)
    return sharp


def _smoothed(image: np.ndarray) -> np.ndarray:
    """Means of 3 x 3 pixels, the middle one weighing 5 of 13, but for the outermost: (H - 2, W - 2, 3)."""
    height, width, _ = image.shape
    wide = image.astype(np.uint16).reshape(height, -1)
    rows = wide[:-2] + wide[1:-1] + wide[2:]
    sums = rows[:, :-6] + rows[:, 3:-3] + rows[:, 6:] + (wide[1:-1, 3:-3] << 2)
    return (sums // 13).astype(np.uint8).reshape(height - 2, width - 2, 3)


def _rotate(image: np.ndarray, degrees: float, tables: PixelTables) -> np.ndarray:
    height, width, _ = image.shape
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    down, right = _axis(height, (height - 1) / 2)[:, None], _axis(width, (width - 1) / 2)
    return tables.sample(
        image,
        Sampled(
            _nearest((height - 1) / 2 + down * cosine + right * sine),
            _nearest((width - 1) / 2 + right * cosine - down * sine),
        ),
        FILL,
    )


def _shear_x(image: np.ndarray, level: float, tables: PixelTables) -> np.ndarray:
    height, width, _ = image.shape
    columns = np.arange(width) + _nearest(np.arange(height) * np.float32(level))[:, None]
    return tables.sample(image, Sampled(np.arange(height)[:, None], columns), FILL)


def _shear_y(image: np.ndarray, level: float, tables: PixelTables) -> np.ndarray:
    height, width, _ = image.shape
    rows = np.arange(height)[:, None] + _nearest(np.arange(width) * np.float32(level))
    return tables.sample(image, Sampled(rows, np.arange(width)), FILL)


def _translate_x(image: np.ndarray, pixels: float, tables: PixelTables) -> np.ndarray:
    moved, shift = np.full_like(image, FILL), int(np.floor(pixels + 0.5))
    width = image.shape[1]
    if abs(shift) < width:
        moved[:, max(-shift, 0) : width - max(shift, 0)] = image[:, max(shift, 0) : width + min(shift, 0)]
    return moved


def _translate_y(image: np.ndarray, pixels: float, tables: PixelTables) -> np.ndarray:
    moved, shift = np.full_like(image, FILL), int(np.floor(pixels + 0.5))
    height = image.shape[0]
    if abs(shift) < height:
        moved[max(-shift, 0) : height - max(shift, 0)] = image[max(shift, 0) : height + min(shift, 0)]
    return moved


def _cutout(image: np.ndarray, half: int, centre: Centre) -> np.ndarray:
    """A square of side 2 * ``half`` about ``centre`` (y, x), cut off at the border, in grey."""
    cut, (y, x) = image.copy(), centre
    cut[max(0, y - half) : max(0, y + half), max(0, x - half) : max(0, x + half)] = FILL
    return cut


_LEVELS = np.arange(256, dtype=np.float32)


def _clipped(levels: np.ndarray) -> np.ndarray:
    """Levels as bytes: cut at 0 and 255, fractions dropped, as the released code does."""
    return np.clip(levels, 0, 255).astype(np.uint8)


def _axis(side: int, middle: float) -> np.ndarray:
    return np.arange(side, dtype=np.float32) - np.float32(middle)


def _nearest(places: np.ndarray) -> np.ndarray:
    return np.floor(places + 0.5).astype(np.int32)


_FUNCTIONS: Dict[str, Callable[[np.ndarray, float, PixelTables], np.ndarray]] = {
    "AutoContrast": _auto_contrast,
    "Equalize": _equalize,
    "Invert": _invert,
    "Rotate": _rotate,
    "Posterize": _posterize,
    "Solarize": _solarize,
    "Color": _color,
    "Contrast": _contrast,
    "Brightness": _brightness,
    "Sharpness": _sharpness,
    "ShearX": _shear_x,
    "ShearY": _shear_y,
    "TranslateX": _translate_x,
    "TranslateY": _translate_y,
    "SolarizeAdd": _solarize_add,
}
