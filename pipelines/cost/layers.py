"""One row of a layer table: what a layer computes, per sample, with nothing of how it is placed.

``pipelines.trace`` makes the table from a real module; the cost of a row is in ``cycles`` and ``memory``.
Sizes are elements of one sample; a micro-batch multiplies them, weights stay.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

KINDS = (
    "input",
    "conv",
    "norm",
    "swish",
    "relu",
    "proxy",
    "proxy_delayed",
    "squeeze",
    "scale",
    "drop_connect",
    "add",
    "pool",
    "loss",
)


_IMAGE_CHANNELS = 4  # up to this many input channels, a KxK convolution is planned like the stem
_ONE_GROUP = 24  # one group of so many channels is what B4 and B5 have in the published G16 runs


@dataclass(frozen=True)
class ConvShape:
    """Shape of a convolution or of a fully connected layer (a 1x1 convolution of one pixel)."""

    in_channels: int
    out_channels: int
    groups: int
    kernel: int
    out_pixels: int

    def __post_init__(self) -> None:
        for name, number in asdict(self).items():
            if number < 1:
                raise ValueError(f"conv.{name}={number}: must be 1 or more")
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ValueError(
                f"conv.groups={self.groups}: must divide {self.in_channels} and {self.out_channels} channels"
            )

    @property
    def group_size(self) -> int:
        """Input channels that one output channel sees."""
        return self.in_channels // self.groups

    @property
    def is_stem(self) -> bool:
        """Whether it is a KxK convolution of an image."""
        return self.kernel > 1 and self.in_channels <= _IMAGE_CHANNELS

    @property
    def is_dense(self) -> bool:
        """Whether it is a KxK convolution without groups (Fused-MBConv, ResNet), the stem apart."""
        widest = max(self.in_channels, self.out_channels)
        return self.kernel > 1 and self.groups == 1 and widest > _ONE_GROUP and not self.is_stem

    @property
    def weights(self) -> int:
        """Elements of the kernel."""
        return self.out_channels * self.group_size * self.kernel**2

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of one sample's forward pass."""
        return self.weights * self.out_pixels


@dataclass(frozen=True)
class LayerSpec:
    """One layer of one sample.

    ``sub_block`` is the legal stage start to which it belongs. On the first layer of a sub-block,
    ``live_elements`` are the activation elements that would cross to the next IPU if a stage began there (a
    residual's skip included); for the ``input`` layer they are the bytes of the uint8 image; elsewhere 0.
    ``norm_groups`` are the groups of a group norm (1: layer norm, 0: batch norm or no norm). Refuses kinds
    outside ``KINDS`` and negative sizes.
    """

    name: str
    sub_block: str
    kind: str
    in_elements: int
    out_elements: int
    live_elements: int
    params: int = 0
    param_tensors: int = 0
    conv: Optional[ConvShape] = None
    norm_groups: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"layer {self.name}: kind={self.kind!r}: choose one of {', '.join(KINDS)}")
        if (self.kind == "conv") != (self.conv is not None):
            raise ValueError(
                f"layer {self.name}: kind={self.kind!r}: convolutions, and only they, have a shape"
            )
        sizes = (self.in_elements, self.out_elements, self.live_elements, self.params, self.param_tensors)
        if min(sizes) < 0:
            raise ValueError(f"layer {self.name}: sizes {sizes}: must be 0 or more")

    def to_dict(self) -> Dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LayerSpec:
        """Build a row from what ``to_dict`` returned."""
        shape = data.get("conv")
        return cls(**{**data, "conv": None if shape is None else ConvShape(**shape)})


LayerTable = Tuple[LayerSpec, ...]


def sub_block_starts(layers: Sequence[LayerSpec]) -> Dict[str, int]:
    """Return, in order, the index of the first layer of every sub-block. Refuses a table that visits one
    twice.
    """
    starts: Dict[str, int] = {}
    previous = None
    for index, layer in enumerate(layers):
        if layer.sub_block != previous and layer.sub_block in starts:
            raise ValueError(f"layer table: sub-block {layer.sub_block!r} is entered twice")
        starts.setdefault(layer.sub_block, index)
        previous = layer.sub_block
    return starts


def slice_stages(layers: Sequence[LayerSpec], names: Sequence[str]) -> Tuple[LayerTable, ...]:
    """Cut a table into stages that begin at the sub-blocks ``names``, the first of which is the table's
    first.

    Refuses names that the table does not have and names out of order, with those it has nearby.
    """
    starts = sub_block_starts(layers)
    for name in names:
        if name not in starts:
            raise ValueError(
                f"splits={name!r}: no such sub-block; nearest are {', '.join(_similar(name, starts))}"
            )
    cuts = [starts[name] for name in names]
    if not cuts or cuts[0] != 0 or cuts != sorted(set(cuts)):
        raise ValueError(
            f"splits={list(names)}: must be in the order of the model and begin with {next(iter(starts))}"
        )
    return tuple(tuple(layers[start:stop]) for start, stop in zip(cuts, [*cuts[1:], len(layers)]))


def _similar(name: str, starts: Mapping[str, int]) -> Sequence[str]:
    import difflib

    return difflib.get_close_matches(name, list(starts), n=4, cutoff=0.0)
