"""What an EfficientNet is, as data: sizes B0-B7, group size, norm, padding; no torch, so that it is quick to
import.

Sizes and sections are those of EfficientNet (arXiv 1905.11946); group convolution with a lower expand ratio
and the half resolutions are those of "Making EfficientNet More Efficient" (arXiv 2106.03640); the
proxy-normalised activation is that of arXiv 2106.03743. ``layout.py`` turns a spec into its list of blocks
and convolutions.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Dict, Mapping, NamedTuple, Optional, Tuple

PAPER_EXPAND_RATIOS = {1: 6.0, 16: 4.0}  # arXiv 2106.03640, section 3.1
EXPAND_RATIO_GRID = (2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0)
NORM_NAMES = ("bn", "gn", "ln", "ln_pn", "gn_pn")
CHOICES = {
    "norm": NORM_NAMES,
    "norm_grouping": ("contiguous", "strided"),
    "padding": ("same", "symmetric"),
    "activation": ("swish", "relu"),
    "proxy_rule": ("quadrature", "quantile200"),
}


@dataclass(frozen=True)
class Section:
    """A run of equal blocks before scaling: only the first has the stride and the change of width.

    ``block`` names the block type in the builder's table; ``expands`` is False where the expand ratio is 1.
    """

    kernel: int
    repeats: int
    in_width: int
    out_width: int
    stride: int
    expands: bool = True
    block: str = "mbconv"


SECTIONS = (
    Section(3, 1, 32, 16, 1, expands=False),
    Section(3, 2, 16, 24, 2),
    Section(5, 2, 24, 40, 2),
    Section(3, 3, 40, 80, 2),
    Section(5, 3, 80, 112, 1),
    Section(5, 4, 112, 192, 2),
    Section(3, 1, 192, 320, 1),
)


class Size(NamedTuple):
    """One row of the model table: multipliers, train/test resolutions in pixels, dropout rate."""

    width: float
    depth: float
    native: int
    half: Optional[int]
    dropout: float


SIZES = {
    "b0": Size(1.0, 1.0, 224, 160, 0.2),
    "b1": Size(1.0, 1.1, 240, 176, 0.2),
    "b2": Size(1.1, 1.2, 260, 196, 0.3),
    "b3": Size(1.2, 1.4, 300, 204, 0.3),
    "b4": Size(1.4, 1.8, 380, 252, 0.4),
    "b5": Size(1.6, 2.2, 456, 328, 0.4),
    "b6": Size(1.8, 2.6, 528, None, 0.5),
    "b7": Size(2.0, 3.1, 600, None, 0.5),
    "cifar": Size(0.5, 1.0, 32, None, 0.0),
}


@dataclass(frozen=True)
class EfficientNetSpec:
    """Everything that fixes the network's function; build one with :func:`make_spec`.

    Resolutions are in pixels (``half_resolution`` None: the paper gives none). ``norm``: ``bn`` batch,
    ``gn`` group (4 groups), ``ln`` layer (over channels and pixels), ``*_pn`` with proxy-normalised
    activations. ``norm_grouping``: ``contiguous`` puts channel c in group c // (C / 4) (PyTorch),
    ``strided`` in group c % 4 (the IPU's fast group norm). ``padding``: ``same`` is TensorFlow's (asymmetric
    at stride 2), ``symmetric`` is PyTorch's k // 2. ``bn_momentum`` is the weight of the new batch in the
    moving averages. Refuses, by name, values outside what is listed here.
    """

    name: str
    width: float
    depth: float
    native_resolution: int
    half_resolution: Optional[int]
    dropout: float
    num_classes: int = 1000
    group_size: int = 1
    expand_ratio: float = 6.0
    norm: str = "bn"
    norm_grouping: str = "contiguous"
    norm_eps: float = 1e-3
    bn_momentum: float = 0.03
    padding: str = "same"
    activation: str = "swish"
    proxy_rule: str = "quadrature"
    proxy_nodes: int = 32
    proxy_eps: float = 0.03
    drop_connect: float = 0.2
    stem_width: int = 32
    stem_stride: int = 2
    top_width: int = 1280
    se_ratio: float = 0.25
    sections: Tuple[Section, ...] = SECTIONS

    def __post_init__(self) -> None:
        for field, allowed in CHOICES.items():
            if getattr(self, field) not in allowed:
                raise ValueError(f"{field}={getattr(self, field)!r}: choose one of {', '.join(allowed)}")
        for field in ("num_classes", "group_size", "proxy_nodes"):
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{field}={value!r}: must be a whole number, 1 or more")
        for field in ("dropout", "drop_connect"):
            if not 0 <= getattr(self, field) < 1:
                raise ValueError(f"{field}={getattr(self, field)!r}: must be at least 0 and below 1")
        if not self.expand_ratio >= 1:
            raise ValueError(f"expand_ratio={self.expand_ratio!r}: must be 1 or more")
        if not self.norm_eps > 0:
            raise ValueError(f"norm_eps={self.norm_eps!r}: must be above 0")

    @property
    def has_proxy_norm(self) -> bool:
        """Whether activations are proxy-normalised; the norms before them then have no affine."""
        return self.norm.endswith("_pn")

    def to_dict(self) -> Dict[str, Any]:
        """Plain numbers, strings and lists, fit for JSON and checkpoints."""
        return {**asdict(self), "sections": [asdict(section) for section in self.sections]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EfficientNetSpec:
        """The inverse of :meth:`to_dict`; refuses unknown and missing keys by name."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        missing = sorted(
            {"name", "width", "depth", "native_resolution", "half_resolution", "dropout"} - set(values)
        )
        if unknown or missing:
            raise ValueError(
                f"model spec: unknown keys {unknown}, missing keys {missing}; known are {sorted(known)}"
            )
        sections = values.get("sections")
        if sections is None:
            return cls(**values)
        return cls(**{**values, "sections": tuple(Section(**section) for section in sections)})


# What make_spec takes besides its named arguments
_OPTIONS = (
    *CHOICES,
    "norm_eps",
    "bn_momentum",
    "num_classes",
    "proxy_nodes",
    "dropout",
    "drop_connect",
)


def make_spec(
    name: str, *, group_size: int = 1, expand_ratio: Optional[float] = None, **options: Any
) -> EfficientNetSpec:
    """The spec of ``b0``..``b7`` or ``cifar`` (a 32 px, half-width, 10-class variant).

    ``expand_ratio`` None means the paper's 6 for groups of 1 and 4 for groups of 16; for any other group
    size the value of 2.0, 2.5, ... 6.0 whose forward multiply-adds at the native resolution come nearest to
    those of groups of 1 with ratio 6 (expanded widths round to multiples of 8). ``options`` are fields of
    :class:`EfficientNetSpec`: norm, norm_grouping, norm_eps, bn_momentum, padding, activation, proxy_rule,
    proxy_nodes, num_classes, dropout, drop_connect. Refuses unknown names and options, and group sizes that
    do not go with the widths (``layout.check_group_size``).
    """
    from ipu_app.models import counts, layout

    key = str(name).lower()
    if key not in SIZES:
        raise ValueError(f"model={name!r}: choose one of {', '.join(SIZES)}")
    unknown = sorted(set(options) - set(_OPTIONS))
    if unknown:
        raise ValueError(
            f"{unknown[0]}={options[unknown[0]]!r}: unknown model option; known are {', '.join(_OPTIONS)}"
        )
    spec = _plain_spec(key)
    spec = replace(spec, **{option: value for option, value in options.items() if value is not None})
    if expand_ratio is not None:
        spec = replace(spec, group_size=group_size, expand_ratio=expand_ratio)
    elif group_size in PAPER_EXPAND_RATIOS:
        spec = replace(spec, group_size=group_size, expand_ratio=PAPER_EXPAND_RATIOS[group_size])
    else:
        spec = counts.nearest_in_multiply_adds(
            spec, [replace(spec, group_size=group_size, expand_ratio=ratio) for ratio in EXPAND_RATIO_GRID]
        )
    layout.check_group_size(spec)
    return spec


def _plain_spec(name: str) -> EfficientNetSpec:
    """Groups of 1, ratio 6, batch norm; for cifar also no stride in the stem and in section 2."""
    size = SIZES[name]
    spec = EfficientNetSpec(name, size.width, size.depth, size.native, size.half, size.dropout)
    if name != "cifar":
        return spec
    sections = (SECTIONS[0], replace(SECTIONS[1], stride=1), *SECTIONS[2:])
    return replace(spec, num_classes=10, stem_stride=1, sections=sections)
