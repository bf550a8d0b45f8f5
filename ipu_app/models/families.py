"""The tables of the EfficientNet families: sections of blocks, sizes, and what all sizes of a family share.

Version 1 is arXiv 1905.11946, its half resolutions arXiv 2106.03640; version 2 is arXiv 2104.00298 in the
form of its released code (google/automl, ``efficientnetv2``), half resolutions by version 1's rule: the size
nearest to the training size over the square root of 2 that agrees with it modulo 32. No torch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Dict, Mapping, NamedTuple, Optional, Tuple

OWN_RATIO = 6.0  # the expand ratio that both papers count the sections' own ratios by


@dataclass(frozen=True)
class Section:
    """A run of equal blocks before scaling: only the first has the stride and the change of width.

    ``block`` names the block type in the builders' tables; ``expands`` is False where the expand ratio is 1.
    ``ratio`` is the section's expand ratio in a network whose ratio is 6; that of an ``mbconv`` moves in
    proportion with the network's, that of a ``fused`` block stays.
    """

    kernel: int
    repeats: int
    in_width: int
    out_width: int
    stride: int
    expands: bool = True
    block: str = "mbconv"
    ratio: float = OWN_RATIO


SECTIONS = (
    Section(3, 1, 32, 16, 1, expands=False),
    Section(3, 2, 16, 24, 2),
    Section(5, 2, 24, 40, 2),
    Section(3, 3, 40, 80, 2),
    Section(5, 3, 80, 112, 1),
    Section(5, 4, 112, 192, 2),
    Section(3, 1, 192, 320, 1),
)
CIFAR_SECTIONS = (SECTIONS[0], replace(SECTIONS[1], stride=1), *SECTIONS[2:])

# A section of version 2: repeats, in, out, stride
_Row = Tuple[int, int, int, int]


def _v2_sections(plain: _Row, *others: _Row) -> Tuple[Section, ...]:
    """One fused section of ratio 1, two of 4, one of MBConvs of 4 and the others of 6; all kernels 3x3."""
    fused, four, six = others[:2], others[2], others[3:]
    return (
        Section(3, *plain, expands=False, block="fused"),
        *(Section(3, *row, block="fused", ratio=4.0) for row in fused),
        Section(3, *four, ratio=4.0),
        *(Section(3, *row) for row in six),
    )


V2_BASE = _v2_sections(
    (1, 32, 16, 1), (2, 16, 32, 2), (2, 32, 48, 2), (3, 48, 96, 2), (5, 96, 112, 1), (8, 112, 192, 2)
)
V2_S = _v2_sections(
    (2, 24, 24, 1), (4, 24, 48, 2), (4, 48, 64, 2), (6, 64, 128, 2), (9, 128, 160, 1), (15, 160, 256, 2)
)
V2_M = _v2_sections(
    (3, 24, 24, 1),
    (5, 24, 48, 2),
    (5, 48, 80, 2),
    (7, 80, 160, 2),
    (14, 160, 176, 1),
    (18, 176, 304, 2),
    (5, 304, 512, 1),
)
V2_L = _v2_sections(
    (4, 32, 32, 1),
    (7, 32, 64, 2),
    (7, 64, 96, 2),
    (10, 96, 192, 2),
    (19, 192, 224, 1),
    (25, 224, 384, 2),
    (7, 384, 640, 1),
)
V2_XL = _v2_sections(
    (4, 32, 32, 1),
    (8, 32, 64, 2),
    (8, 64, 96, 2),
    (16, 96, 192, 2),
    (24, 192, 256, 1),
    (32, 256, 512, 2),
    (8, 512, 640, 1),
)


@dataclass(frozen=True)
class Family:
    """What sizes share: ``fields`` of the spec that differ from its defaults, and ``expand_ratios`` that a
    paper gives for a group size (the others are found by multiply-adds).
    """

    fields: Mapping[str, Any]
    expand_ratios: Mapping[int, float]


_PAPER_RATIOS = {1: 6.0, 16: 4.0}  # arXiv 2106.03640, section 3.1
V1 = Family({}, _PAPER_RATIOS)
CIFAR = Family({"sections": CIFAR_SECTIONS, "stem_stride": 1, "num_classes": 10}, _PAPER_RATIOS)


def _v2(sections: Tuple[Section, ...], stem_width: int) -> Family:
    """Released code: no lower bound in rounding widths, plain normal start values, batch norm's weight .1
    (the paper says .01).
    """
    shared = {"width_floor": 0.0, "start_values": "normal", "bn_momentum": 0.1}
    return Family({**shared, "sections": sections, "stem_width": stem_width}, {1: 6.0})


class Size(NamedTuple):
    """One row of the model table: multipliers, resolutions in pixels, dropout rate.

    ``native`` is the training resolution, ``evaluation`` the one to evaluate at (None: the native one).
    """

    width: float
    depth: float
    native: int
    half: Optional[int]
    dropout: float
    evaluation: Optional[int] = None
    family: Family = V1


_V2_B = _v2(V2_BASE, 32)
SIZES: Dict[str, Size] = {
    "b0": Size(1.0, 1.0, 224, 160, 0.2),
    "b1": Size(1.0, 1.1, 240, 176, 0.2),
    "b2": Size(1.1, 1.2, 260, 196, 0.3),
    "b3": Size(1.2, 1.4, 300, 204, 0.3),
    "b4": Size(1.4, 1.8, 380, 252, 0.4),
    "b5": Size(1.6, 2.2, 456, 328, 0.4),
    "b6": Size(1.8, 2.6, 528, None, 0.5),
    "b7": Size(2.0, 3.1, 600, None, 0.5),
    "cifar": Size(0.5, 1.0, 32, None, 0.0, family=CIFAR),
    "v2-b0": Size(1.0, 1.0, 192, 128, 0.2, 224, _V2_B),
    "v2-b1": Size(1.0, 1.1, 192, 128, 0.2, 240, _V2_B),
    "v2-b2": Size(1.1, 1.2, 208, 144, 0.3, 260, _V2_B),
    "v2-b3": Size(1.2, 1.4, 240, 176, 0.3, 300, _V2_B),
    "v2-s": Size(1.0, 1.0, 300, 204, 0.2, 384, _v2(V2_S, 24)),
    "v2-m": Size(1.0, 1.0, 384, 256, 0.3, 480, _v2(V2_M, 24)),
    "v2-l": Size(1.0, 1.0, 384, 256, 0.4, 480, _v2(V2_L, 32)),
    "v2-xl": Size(1.0, 1.0, 384, 256, 0.4, 512, _v2(V2_XL, 32)),
}
