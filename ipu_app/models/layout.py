"""From a spec to the list of blocks and convolutions: the one description that the network, the counts and
the pipeline splits are all made from. No torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Optional, Tuple

from ipu_app.models.spec import EfficientNetSpec

ROUND_TO = (
    8  # every width is a multiple of this (arXiv 1905.11946's code, and what the IPU's convolutions like)
)


@dataclass(frozen=True)
class ConvSpec:
    """One convolution without bias. ``role``: stem, expand, spatial, project or top."""

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
    """One inverted-bottleneck block after scaling; ``drop_connect`` is how often its branch is dropped."""

    name: str
    kind: str
    expand: Optional[ConvSpec]
    spatial: ConvSpec
    project: ConvSpec
    se_channels: int
    drop_connect: float

    @property
    def in_channels(self) -> int:
        """Channels that enter the block."""
        return (self.expand or self.spatial).in_channels

    @property
    def has_skip(self) -> bool:
        """Whether the input is added to the output: same size, same width."""
        return self.spatial.stride == 1 and self.in_channels == self.project.out_channels

    @property
    def convs(self) -> Tuple[ConvSpec, ...]:
        """The convolutions in order, squeeze-excite not included."""
        return tuple(conv for conv in (self.expand, self.spatial, self.project) if conv is not None)


def round_width(width: float) -> int:
    """The nearest multiple of 8, at least 8, and never below 90 % of ``width``."""
    rounded = max(ROUND_TO, int(width + ROUND_TO / 2) // ROUND_TO * ROUND_TO)
    return rounded + ROUND_TO if rounded < 0.9 * width else rounded


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
    return ConvSpec("stem", 3, round_width(spec.width * spec.stem_width), 3, spec.stem_stride)


def top_conv(spec: EfficientNetSpec) -> ConvSpec:
    """The last convolution, before the global mean."""
    in_width = round_width(spec.width * spec.sections[-1].out_width)
    return ConvSpec("top", in_width, round_width(spec.width * spec.top_width))


def block_specs(spec: EfficientNetSpec) -> Tuple[BlockSpec, ...]:
    """All blocks between stem and top, in order of execution: block1a, block2a, block2b, ..."""
    repeats = [math.ceil(spec.depth * section.repeats) for section in spec.sections]
    total = sum(repeats)
    blocks = []
    for number, count in enumerate(repeats):
        for repeat in range(count):
            name = f"block{number + 1}{chr(ord('a') + repeat)}"
            rate = spec.drop_connect * len(blocks) / total
            blocks.append(_block_spec(spec, number, first=repeat == 0, name=name, rate=rate))
    return tuple(blocks)


def _block_spec(spec: EfficientNetSpec, number: int, *, first: bool, name: str, rate: float) -> BlockSpec:
    section = spec.sections[number]
    out_width = round_width(spec.width * section.out_width)
    in_width = round_width(spec.width * section.in_width) if first else out_width
    stride = section.stride if first else 1
    expands = section.expands and spec.expand_ratio != 1
    mid = round_width(in_width * spec.expand_ratio) if expands else in_width
    return BlockSpec(
        name=name,
        kind=section.block,
        expand=ConvSpec("expand", in_width, mid) if expands else None,
        spatial=ConvSpec("spatial", mid, mid, section.kernel, stride, conv_groups(mid, spec.group_size)),
        project=ConvSpec("project", mid, out_width),
        se_channels=max(1, int(in_width * spec.se_ratio)),
        drop_connect=rate,
    )


def sub_block_names(spec: EfficientNetSpec) -> Tuple[str, ...]:
    """Every name at which a pipeline stage may start, in order of execution, as dotted below
    ``model.blocks``.

    A block's own name stands for its first part: ``block2a`` is where its expansion starts.
    """
    names = ["block0"]
    for block in block_specs(spec):
        names.append(block.name)
        if block.expand is not None:
            names.append(f"{block.name}.spatial")
        names.append(f"{block.name}.project")
    return (*names, "Top")


def check_group_size(spec: EfficientNetSpec) -> None:
    """Refuses a group size that would quietly become another one in most blocks.

    Widths are multiples of 8, so that 1, 2, 4 and multiples of 8 fit (:func:`conv_groups` says how, where
    one does not divide). Any other size has to divide every expanded width: 7 does, with an expand ratio of
    7.
    """
    size = spec.group_size
    widths = sorted({block.spatial.in_channels for block in block_specs(spec) if block.expand is not None})
    if size % ROUND_TO and ROUND_TO % size and any(width % size for width in widths):
        shown = ", ".join(str(width) for width in widths)
        raise ValueError(
            f"group_size={size}: must be 1, 2, 4 or a multiple of 8, or divide every expanded width of "
            f"{spec.name} at expand_ratio={spec.expand_ratio:g} ({shown})"
        )
