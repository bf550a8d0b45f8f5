"""Compound scaling of EfficientNets (arXiv 1905.11946): depth, width and resolution grow by one exponent. No
torch.

STEP 1 looks for coefficients on a grid whose forward work about doubles, STEP 2 raises them to ``phi``. The
law counts depth * width^2 * resolution^2; what a network really costs is more at small ``phi``, because
repeats round up: ``counts.count_multiply_adds`` of :func:`scaled_spec` is exact. The published b1 to b7 are
rows of a table and at no ``phi``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import List, NamedTuple, Union

from ipu_app.models.spec import EfficientNetSpec, make_spec

WORK = 2.0  # the factor by which one step of phi is to multiply the work
_DIGITS = 10  # grid values are decimal fractions, not sums of rounded steps


@dataclass(frozen=True)
class Coefficients:
    """Factors of depth, width and resolution at phi = 1; the defaults are the published ones."""

    alpha: float = 1.2
    beta: float = 1.1
    gamma: float = 1.15

    def __post_init__(self) -> None:
        for name in ("alpha", "beta", "gamma"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)!r}: must be above 0")

    @property
    def product(self) -> float:
        """By what the law says that the work grows at phi = 1."""
        return self.alpha * self.beta**2 * self.gamma**2


class Multipliers(NamedTuple):
    """Factors of a base network's depth, width and resolution."""

    depth: float
    width: float
    resolution: float


def grid(
    *, step: float = 0.05, low: float = 1.0, high: float = 2.0, tolerance: float = 0.1
) -> List[Coefficients]:
    """The coefficients from ``low`` to ``high`` by ``step`` whose product is within ``tolerance`` of 2.

    In order of alpha, beta, gamma. Refuses a step of 0 and an empty or negative range.
    """
    if not step > 0:
        raise ValueError(f"step={step!r}: must be above 0")
    if not 0 < low <= high:
        raise ValueError(f"low={low!r}, high={high!r}: must be above 0, and high no less than low")
    count = math.floor(round((high - low) / step, _DIGITS)) + 1
    values = [round(low + step * index, _DIGITS) for index in range(count)]
    points = (Coefficients(alpha, beta, gamma) for alpha in values for beta in values for gamma in values)
    return [point for point in points if round(abs(point.product - WORK), _DIGITS) <= tolerance]


def multipliers(phi: float, coefficients: Coefficients = Coefficients()) -> Multipliers:
    """The coefficients to the power of ``phi``."""
    return Multipliers(coefficients.alpha**phi, coefficients.beta**phi, coefficients.gamma**phi)


def scaled_spec(
    base: Union[EfficientNetSpec, str],
    phi: float,
    coefficients: Coefficients = Coefficients(),
) -> EfficientNetSpec:
    """The base network (a spec or a name), deeper and wider, for larger images: sizes to the nearest pixel.

    Widths and repeats then round as the base's family has it. There is no half resolution: no paper gives
    one.
    """
    spec = make_spec(base) if isinstance(base, str) else base
    by = multipliers(phi, coefficients)
    evaluation = spec.evaluation_resolution
    return replace(
        spec,
        name=f"{spec.name}-phi{phi:g}",
        depth=spec.depth * by.depth,
        width=spec.width * by.width,
        native_resolution=_pixels(spec.native_resolution * by.resolution),
        evaluation_resolution=None if evaluation is None else _pixels(evaluation * by.resolution),
        half_resolution=None,
    )


def resized(spec: EfficientNetSpec, *, depth: float, width: float) -> EfficientNetSpec:
    """The network with its depth and width multiplied; resolutions and name stay."""
    if (depth, width) == (1.0, 1.0):
        return spec
    return replace(spec, depth=spec.depth * depth, width=spec.width * width)


def _pixels(size: float) -> int:
    return math.floor(size + 0.5)
