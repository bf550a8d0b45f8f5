"""Parameters and forward multiply-adds of a spec, without building it. No torch."""

from __future__ import annotations

import math
from typing import Dict, List, Optional, Sequence, Tuple

from ipu_app.models.layout import BlockSpec, block_specs, stem_conv, top_conv
from ipu_app.models.network_spec import EfficientNetSpec

KINDS = ("stem", "fused", "expand", "spatial", "se", "project", "top", "fc")


def count_multiply_adds(spec: EfficientNetSpec, resolution: Optional[int] = None) -> Dict[str, int]:
    """Forward multiply-adds of one square image of ``resolution`` pixels (None: native), by kind of layer.

    Counted are convolutions, squeeze-excite and classifier: stem, fused, expand, spatial, se, project, top,
    fc.
    """
    size = spec.native_resolution if resolution is None else resolution
    counts = dict.fromkeys(KINDS, 0)
    blocks = block_specs(spec)
    for conv in (stem_conv(spec), *(conv for block in blocks for conv in block.convs), top_conv(spec)):
        size = math.ceil(size / conv.stride)
        counts[conv.role] += conv.num_weights * size**2
    counts["se"] = sum(2 * channels * squeezed for channels, squeezed in _gates(blocks))
    counts["fc"] = top_conv(spec).out_channels * spec.num_classes
    return counts


def count_parameters(spec: EfficientNetSpec) -> Dict[str, int]:
    """Learned parameters by kind of layer; norms and proxy-normalised activations apart."""
    blocks = block_specs(spec)
    convs = (stem_conv(spec), *(conv for block in blocks for conv in block.convs), top_conv(spec))
    counts = dict.fromkeys((*KINDS, "norm", "proxy"), 0)
    for conv in convs:
        counts[conv.role] += conv.num_weights
        if not spec.has_proxy_norm:
            counts["norm"] += 2 * conv.out_channels
        elif conv.role == "project":
            counts["norm"] += conv.out_channels
        else:
            counts["proxy"] += 4 * conv.out_channels
    for channels, squeezed in _gates(blocks):
        counts["se"] += 2 * channels * squeezed + channels + squeezed
    counts["fc"] = (top_conv(spec).out_channels + 1) * spec.num_classes
    return counts


def _gates(blocks: Sequence[BlockSpec]) -> List[Tuple[int, int]]:
    """Channels and squeezed channels of every squeeze-excite."""
    spatial = [(block.spatial, block.se_channels) for block in blocks]
    return [(conv.out_channels, squeezed) for conv, squeezed in spatial if conv is not None]


def nearest_in_multiply_adds(
    reference: EfficientNetSpec, candidates: Sequence[EfficientNetSpec]
) -> EfficientNetSpec:
    """The candidate whose forward multiply-adds at its native resolution are nearest to the reference's."""
    goal = sum(count_multiply_adds(reference).values())
    return min(candidates, key=lambda spec: abs(sum(count_multiply_adds(spec).values()) - goal))
