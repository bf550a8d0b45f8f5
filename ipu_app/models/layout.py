"""From a spec to the list of blocks and convolutions: the one description that the network, the counts and
the pipeline splits are all made from. No torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Optional, Tuple

from ipu_app.config.kinds import BLOCKS, load
from ipu_app.models.families import OWN_RATIO, Section
from ipu_app.models.network_spec import EfficientNetSpec

_LETTERS = 26  # after block6z comes block6aa
ROUND_TO = (
    8  # every width is a multiple of this (arXiv 1905.11946's code, and what the IPU's convolutions like)
)


@dataclass(frozen=True)
class ConvSpec:
    """One convolution without bias. ``role``: stem, expand, spatial, fused, project or top."""

    role: str
    in_channels: int
    out_channels: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1

    @property
    def num_weights(self) -> int:
        """Elements of the kernel; also the multiply-adds per output pixel."""
        return self.kernel**2 * (self.in_channels // self.groups) * self.out_channels


@dataclass(frozen=True)
class BlockSpec:
    """One block after scaling; ``drop_connect`` is how often its branch is dropped.

    An ``mbconv`` has ``expand`` (None at a ratio of 1), ``spatial``, squeeze-excite and ``project``; a
    ``fused`` one a dense ``fused`` convolution in the place of the first three and ``project`` (None at a
    ratio of 1).
    """

    name: str
    kind: str
    expand: Optional[ConvSpec]
    spatial: Optional[ConvSpec]
    project: Optional[ConvSpec]
    se_channels: int
    drop_connect: float
    fused: Optional[ConvSpec] = None

    @property
    def convs(self) -> Tuple[ConvSpec, ...]:
        """The convolutions in order, squeeze-excite not included."""
        parts = (self.expand, self.spatial, self.fused, self.project)
        return tuple(conv for conv in parts if conv is not None)

    @property
    def in_channels(self) -> int:
        """Channels that enter the block."""
        return self.convs[0].in_channels

    @property
    def out_channels(self) -> int:
        """Channels that leave the block."""
        return self.convs[-1].out_channels

    @property
    def has_skip(self) -> bool:
        """Whether the input is added to the output: same size, same width."""
        return all(conv.stride == 1 for conv in self.convs) and self.in_channels == self.out_channels


def round_width(width: float, floor: float = 0.9) -> int:
    """The nearest multiple of 8, at least 8, and never below the share ``floor`` of ``width``."""
    rounded = max(ROUND_TO, int(width + ROUND_TO / 2) // ROUND_TO * ROUND_TO)
    return rounded + ROUND_TO if rounded < floor * width else rounded


def scaled_width(spec: EfficientNetSpec, width: int) -> int:
    """A width of the table times the spec's multiplier, rounded by its family's rule."""
    return round_width(spec.width * width, spec.width_floor)


def conv_groups(channels: int, group_size: int) -> int:
    """Number of groups of a spatial convolution of ``channels`` that is asked for groups of ``group_size``.

    The paper's rule, max(channels // group_size, 1), wherever it divides the channels (24 channels at 16:
    dense; 40: 2 groups of 20). Where it does not (56 at 16 would be 3 groups) the paper's network does not
    exist; then it is the divisor of ``channels`` whose group size is nearest to ``group_size`` in ratio (56
    at 16: 4 groups of 14).
    """
    groups = max(channels // group_size, 1)
    if channels % groups == 0:
        return groups
    divisors = [n for n in range(1, channels + 1) if channels % n == 0]
    return min(divisors, key=lambda n: abs(math.log(channels / n / group_size)))


def stem_conv(spec: EfficientNetSpec) -> ConvSpec:
    """The first convolution, from the 3 colours."""
    return ConvSpec("stem", 3, scaled_width(spec, spec.stem_width), 3, spec.stem_stride)


def top_conv(spec: EfficientNetSpec) -> ConvSpec:
    """The last convolution, before the global mean."""
    in_width = scaled_width(spec, spec.sections[-1].out_width)
    return ConvSpec("top", in_width, scaled_width(spec, spec.top_width))


def block_name(section: int, repeat: int) -> str:
    """The name of a block by section and place in it, both from 0: block1a, ... block6z, block6aa."""
    letters = chr(ord("a") + repeat % _LETTERS)
    if repeat >= _LETTERS:
        letters = chr(ord("a") + repeat // _LETTERS - 1) + letters
    return f"block{section + 1}{letters}"


def block_specs(spec: EfficientNetSpec) -> Tuple[BlockSpec, ...]:
    """All blocks between stem and top, in order of execution: block1a, block2a, block2b, ..."""
    places = block_places(spec)
    blocks = []
    for index, (number, repeat) in enumerate(places):
        section = spec.sections[number]
        if section.block not in BLOCKS:
            raise ValueError(f"block={section.block!r}: choose one of {', '.join(BLOCKS)}")
        out_width = scaled_width(spec, section.out_width)
        blocks.append(
            load(BLOCKS[section.block].layout)(
                spec,
                section if repeat == 0 else replace(section, stride=1),
                scaled_width(spec, section.in_width) if repeat == 0 else out_width,
                out_width,
                name=block_name(number, repeat),
                drop_connect=spec.drop_connect * index / len(places),
            )
        )
    return tuple(blocks)


def block_places(spec: EfficientNetSpec) -> Tuple[Tuple[int, int], ...]:
    """Section and place in it, both from 0, of every block in order."""
    repeats = [math.ceil(spec.depth * section.repeats) for section in spec.sections]
    return tuple((number, repeat) for number, count in enumerate(repeats) for repeat in range(count))


def mbconv(
    spec: EfficientNetSpec, section: Section, in_width: int, out_width: int, **shared: Any
) -> BlockSpec:
    """An inverted bottleneck, whose ratio moves in proportion with the network's."""
    expands = section.expands and spec.expand_ratio != 1
    ratio = spec.expand_ratio * section.ratio / OWN_RATIO
    mid = round_width(in_width * ratio, spec.width_floor) if expands else in_width
    groups = conv_groups(mid, spec.group_size)
    return BlockSpec(
        kind="mbconv",
        expand=ConvSpec("expand", in_width, mid) if expands else None,
        spatial=ConvSpec("spatial", mid, mid, section.kernel, section.stride, groups),
        project=ConvSpec("project", mid, out_width),
        se_channels=max(1, int(in_width * spec.se_ratio)),
        **shared,
    )


def fused(
    spec: EfficientNetSpec, section: Section, in_width: int, out_width: int, **shared: Any
) -> BlockSpec:
    """A fused block, with the section's own ratio."""
    mid = round_width(in_width * section.ratio, spec.width_floor) if section.expands else out_width
    return BlockSpec(
        kind="fused",
        expand=None,
        spatial=None,
        project=ConvSpec("project", mid, out_width) if section.expands else None,
        se_channels=0,
        fused=ConvSpec("fused", in_width, mid, section.kernel, section.stride),
        **shared,
    )


def sub_block_names(spec: EfficientNetSpec) -> Tuple[str, ...]:
    """Every name at which a pipeline stage may start, in order of execution, as dotted below
    ``model.blocks``.

    A block's own name stands for its first part: ``block2a`` is where its expansion starts.
    """
    names = ["block0"]
    for block in block_specs(spec):
        names += [block.name, *(f"{block.name}.{conv.role}" for conv in block.convs[1:])]
    return (*names, "Top")


def check_group_size(spec: EfficientNetSpec) -> None:
    """Refuses a group size that would quietly become another one in most blocks.

    Widths are multiples of 8, so that 1, 2, 4 and multiples of 8 fit (:func:`conv_groups` says how, where
    one does not divide). Any other size has to divide every expanded width: 7 does, with an expand ratio of
    7.
    """
    size = spec.group_size
    expansions = [block.expand for block in block_specs(spec) if block.expand is not None]
    widths = sorted({conv.out_channels for conv in expansions})
    if size % ROUND_TO and ROUND_TO % size and any(width % size for width in widths):
        shown = ", ".join(str(width) for width in widths)
        raise ValueError(
            f"group_size={size}: must be 1, 2, 4 or a multiple of 8, or divide every expanded width of "
            f"{spec.name} at expand_ratio={spec.expand_ratio:g} ({shown})"
        )
