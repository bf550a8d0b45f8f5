"""Which resolutions go together: those that leave every stride-2 layer the same padding (arXiv 2106.03640).

With SAME padding a stride-2 layer pads an even side before or after, an odd one on both; five such layers see
the same parities at two resolutions exactly if these agree modulo 32.
"""

from __future__ import annotations

from typing import Iterable, List

from ipu_app.models.network_spec import EfficientNetSpec


def parity_modulus(spec: EfficientNetSpec) -> int:
    """Return what resolutions must agree modulo: the product of all strides, 32 for B0 to B7."""
    modulus = spec.stem_stride
    for section in spec.sections:
        modulus *= section.stride
    return modulus


def nearest_agreeing(resolution: int, trained_at: int, modulus: int) -> List[int]:
    """Return the resolutions next below and above that agree with the one trained at."""
    below = resolution - (resolution - trained_at) % modulus
    return [value for value in (below, below + modulus) if value >= modulus]


def parity_warnings(spec: EfficientNetSpec, trained_at: int, others: Iterable[int]) -> List[str]:
    """Return a line for each resolution that breaks the rule; symmetric padding has no such rule."""
    modulus = parity_modulus(spec)
    if spec.padding != "same":
        return []
    return [
        f"warning: {other} px after training at {trained_at} px: {other} % {modulus} = {other % modulus}, "
        f"not {trained_at % modulus}, so stride-2 layers pad elsewhere than in training; nearest that agree: "
        f"{' or '.join(map(str, nearest_agreeing(other, trained_at, modulus)))}"
        for other in dict.fromkeys(others)
        if (other - trained_at) % modulus
    ]
