"""What an EfficientNet is, as data: size, group size, norm, padding; no torch, so that it is quick to import.

Sizes and sections of both versions are in ``families.py``; group convolution with a lower expand ratio and
the half resolutions are those of "Making EfficientNet More Efficient" (arXiv 2106.03640); the
proxy-normalised activation is that of arXiv 2106.03743. ``layout.py`` turns a spec into its list of blocks
and convolutions.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Dict, Mapping, Optional, Tuple

from ipu_app.config.kinds import ACTIVATIONS, NORMS
from ipu_app.models.families import SECTIONS, Section

NORM_NAMES = tuple(NORMS)
CHOICES = {
    "norm": NORM_NAMES,
    "norm_grouping": ("contiguous", "strided"),
    "padding": ("same", "symmetric"),
    "activation": tuple(ACTIVATIONS),
    "proxy_rule": ("quadrature", "quantile200"),
    "start_values": ("truncated", "normal"),
}


@dataclass(frozen=True)
class EfficientNetSpec:
    """Everything that fixes the network's function; build one with ``spec.make_spec``.

    Resolutions are in pixels: ``native_resolution`` to train at, ``half_resolution`` with half its pixels
    (None: the paper gives none), ``evaluation_resolution`` to evaluate at (None: the native one). ``norm``:
    ``bn`` batch, ``gn`` group (4 groups), ``ln`` layer (over channels and pixels), ``*_pn`` with
    proxy-normalised activations. ``norm_grouping``: ``contiguous`` puts channel c in group c // (C / 4)
    (PyTorch), ``strided`` in group c % 4 (the IPU's fast group norm). ``padding``: ``same`` is TensorFlow's
    (asymmetric at stride 2), ``symmetric`` is PyTorch's k // 2. ``bn_momentum`` is the weight of the new
    batch in the moving averages. ``width_floor``: a rounded width is never below this share of the unrounded
    one (0: no such rule). ``start_values`` names the rule of the initial weights (see ``init.py``). Refuses,
    by name, values outside what is listed here.
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
    evaluation_resolution: Optional[int] = None
    width_floor: float = 0.9
    start_values: str = "truncated"

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
        return NORMS[self.norm].has_proxy

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
