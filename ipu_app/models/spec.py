"""From a network's name and options to its spec. No torch, so that it is quick to import."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Optional

from ipu_app.models.counts import nearest_in_multiply_adds
from ipu_app.models.families import SECTIONS, SIZES, Section
from ipu_app.models.layout import check_group_size
from ipu_app.models.network_spec import CHOICES, NORM_NAMES, EfficientNetSpec

__all__ = ["NORM_NAMES", "SECTIONS", "SIZES", "EfficientNetSpec", "Section", "make_spec"]

EXPAND_RATIO_GRID = (2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0)

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
    """The spec of ``b0``..``b7``, ``cifar`` (a 32 px, half-width, 10-class variant), ``v2-b0``..``v2-b3``,
    ``v2-s``, ``v2-m``, ``v2-l`` or ``v2-xl``, in any case.

    ``expand_ratio`` None means, in version 1, the paper's 6 for groups of 1 and 4 for groups of 16; for any
    other group size, and in version 2 for all, the value of 2.0, 2.5, ... 6.0 whose forward multiply-adds at
    the native resolution come nearest to those of groups of 1 with ratio 6 (expanded widths round to
    multiples of 8). Sections with a ratio of their own (version 2's fourth: 4) move in proportion; fused
    blocks keep theirs, and dense convolutions. ``options`` are fields of :class:`EfficientNetSpec`: norm,
    norm_grouping, norm_eps, bn_momentum, padding, activation, proxy_rule, proxy_nodes, start_values,
    num_classes, dropout, drop_connect. Refuses unknown names and options, and group sizes that do not go with
    the widths (``layout.check_group_size``).
    """
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
    ratio = SIZES[key].family.expand_ratios.get(group_size) if expand_ratio is None else expand_ratio
    if ratio is not None:
        spec = replace(spec, group_size=group_size, expand_ratio=ratio)
    else:
        spec = nearest_in_multiply_adds(
            spec, [replace(spec, group_size=group_size, expand_ratio=ratio) for ratio in EXPAND_RATIO_GRID]
        )
    check_group_size(spec)
    return spec


def _plain_spec(name: str) -> EfficientNetSpec:
    """Groups of 1, ratio 6, batch norm."""
    size = SIZES[name]
    return EfficientNetSpec(
        name,
        size.width,
        size.depth,
        size.native,
        size.half,
        size.dropout,
        evaluation_resolution=size.evaluation,
        **size.family.fields,
    )
