"""What the crop needs to know of a JPEG before decoding it, read from its markers (ITU T.81, annex B)."""

from __future__ import annotations

import struct
from typing import NamedTuple, Optional

_SOF_BASELINE = (0xC0, 0xC1)  # sequential Huffman, the kind that can be cut short
_SOF_OTHER = (0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)
_APP1, _SOS, _EOI = 0xE1, 0xDA, b"\xff\xd9"
_ORIENTATION_TAG = 0x0112


class JpegHeader(NamedTuple):
    """Size in pixels as stored, offset of the height field, EXIF orientation, and what kind of JPEG it is."""

    height: int
    width: int
    height_offset: int
    is_baseline: bool
    components: int
    row_step: int  # rows of pixels in one row of coded blocks (MCUs)
    orientation: int


class CutJpeg(NamedTuple):
    """A JPEG declared less tall than it is: the height in pixels it now has, and its bytes."""

    height: int
    data: bytes


def _orientation(exif: bytes) -> int:
    """EXIF orientation (1 to 8) in an APP1 segment's body; 1 where there is none or it is damaged."""
    if exif[:6] != b"Exif\0\0" or exif[6:8] not in (b"II", b"MM"):
        return 1
    order = "<" if exif[6:8] == b"II" else ">"
    tiff = exif[6:]
    try:
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, _, _, value = struct.unpack_from(order + "HHIH", tiff, entry)
            if tag == _ORIENTATION_TAG:
                return value if 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1


def parse_header(data: bytes) -> Optional[JpegHeader]:
    """The header up to the frame segment; None where ``data`` is no JPEG or is cut off before it."""
    if data[:2] != b"\xff\xd8":
        return None
    orientation, at, end = 1, 2, len(data)
    while at + 4 <= end and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        length = (data[at + 2] << 8) | data[at + 3]
        if marker in _SOF_BASELINE or marker in _SOF_OTHER:
            return _frame(data, at, marker, orientation)
        if marker == _SOS:
            return None
        if marker == _APP1 and orientation == 1:
            orientation = _orientation(data[at + 4 : at + 2 + length])
        at += 2 + length
    return None


def _frame(data: bytes, at: int, marker: int, orientation: int) -> Optional[JpegHeader]:
    """The frame segment (SOF) at ``at``."""
    try:
        _, precision, height, width, components = struct.unpack_from(">HBHHB", data, at + 2)
        tallest = max(data[at + 11 + 3 * c] & 15 for c in range(components))
    except (struct.error, IndexError, ValueError):
        return None
    if height == 0 or width == 0:
        return None
    is_baseline = marker in _SOF_BASELINE and precision == 8
    return JpegHeader(height, width, at + 5, is_baseline, components, 8 * tallest, orientation)


def cut_height(data: bytes, header: JpegHeader, bottom: int) -> Optional[CutJpeg]:
    """The same JPEG declared only as tall as its first ``bottom`` rows need, or None where that saves
    nothing.

    The decoder then stops at the end of that row of blocks. Entropy decoding is most of the work, so what
    lies below the crop is saved whole. Two rows more are kept, because chroma is interpolated between rows.
    Only for complete sequential files: a progressive one stores the whole image several times over.
    """
    step = header.row_step
    height = -(-(bottom + 2) // step) * step
    if height >= header.height or not header.is_baseline or data[-2:] != _EOI:
        return None
    at = header.height_offset
    return CutJpeg(height, data[:at] + struct.pack(">H", height) + data[at + 2 :])
