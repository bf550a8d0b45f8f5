"""Progressive learning (EfficientNetV2, arXiv 2104.00298): image size and regularisation grow in training.

Two laws, by stages i = 0 .. M-1. *paper*: everything goes linearly in i / (M - 1) from its first value to its
last. *released* (github google/automl): the size of stage i is first + (last - first) * (i + 1) / M, so that
the first stage is not the smallest size; the strengths of RandAugment, mixup and cutmix go linearly in
i / (M - 1); dropout stays at the model's own. Sizes are cut to whole pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Dict, Optional, Tuple

from ipu_app.config.augment import MOST_MAGNITUDE
from ipu_app.config.value_checks import at_least, between, one_of

RULES = ("off", "paper", "released")
FIRST_RESOLUTION = 128
LEAST_RESOLUTION = 32
MODULUS = 32  # the product of an EfficientNet's strides
_RANGES = ("resolution", "randaugment", "mixup_alpha", "cutmix_alpha", "dropout")

Range = Tuple[float, float]


@dataclass(frozen=True)
class Stage:
    """One stage: pixels a side, RandAugment's magnitude (None: none), Beta's parameters of mixup and cutmix,
    dropout rate; ``start`` and ``end`` are shares of the training.
    """

    resolution: int
    randaugment: Optional[float]
    mixup_alpha: float
    cutmix_alpha: float
    dropout: float
    start: float
    end: float


@dataclass(frozen=True)
class Ranges:
    """First and last value of what grows; ``randaugment`` None: none."""

    resolution: Tuple[int, int]
    randaugment: Optional[Range]
    mixup_alpha: Range
    cutmix_alpha: Range
    dropout: Range


# Last size and dropout of the released trainings: each network's own.
_OWN: Dict[str, Tuple[int, float]] = {
    "b0": (224, 0.2),
    "b1": (240, 0.2),
    "b2": (260, 0.3),
    "b3": (300, 0.3),
    "b4": (380, 0.4),
    "b5": (456, 0.4),
    "b6": (528, 0.5),
    "b7": (600, 0.5),
    "cifar": (32, 0.0),
    "v2-b0": (192, 0.2),
    "v2-b1": (192, 0.2),
    "v2-b2": (208, 0.3),
    "v2-b3": (240, 0.3),
    "v2-s": (300, 0.2),
    "v2-m": (384, 0.3),
    "v2-l": (384, 0.4),
    "v2-xl": (384, 0.4),
}
# RandAugment's range and the last alpha of mixup (and cutmix, as released) of those with published ranges.
_RELEASED: Dict[str, Tuple[Range, float]] = {
    "v2-s": ((5, 10), 0.0),
    "v2-m": ((5, 15), 0.2),
    "v2-l": ((5, 20), 0.5),
    "v2-xl": ((5, 20), 0.5),
}
# The paper's (table 6): last size, ranges of RandAugment and dropout, last alpha of mixup.
_PAPER: Dict[str, Tuple[int, Range, Range, float]] = {
    "v2-s": (300, (5, 15), (0.1, 0.3), 0.0),
    "v2-m": (380, (5, 20), (0.1, 0.4), 0.2),
    "v2-l": (380, (5, 25), (0.1, 0.5), 0.5),
    "v2-xl": (380, (5, 25), (0.1, 0.5), 0.5),
}
_OTHERS_RANDAUGMENT: Range = (5, 15)  # version 1's networks, of which no ranges were published: V2-S's
_OTHERS_FIRST_DROPOUT = 0.1
NO_RANGE = (0.0, 0.0)


def stages(model: str, rule: str = "paper", count: int = 4, align: Optional[int] = None) -> Tuple[Stage, ...]:
    """The ``count`` stages of a network's training by the law ``rule``, "paper" or "released".

    ``align``: sizes become those nearest to the law's with this one's remainder modulo 32, the smaller of two
    equally near. Networks without published ranges (version 1's, ``v2-b0`` to ``v2-b3``) end at their native
    size and dropout.
    """
    return staged(own_ranges(model, rule), rule=rule, count=count, align=align)


def own_ranges(model: str, rule: str) -> Ranges:
    """A network's first and last values under a law."""
    one_of("progressive.rule", rule, RULES[1:])
    name = str(model).lower()
    one_of("model", name, tuple(_OWN))
    size, dropout = _OWN[name]
    if rule == "released":
        randaugment, alpha = _RELEASED.get(name, (_randaugment_of(name), 0.0))
        return Ranges(sizes_to(size), randaugment, (0.0, alpha), (0.0, alpha), (dropout, dropout))
    if name in _PAPER:
        size, growing, dropouts, alpha = _PAPER[name]
        return Ranges(sizes_to(size), growing, (0.0, alpha), NO_RANGE, dropouts)
    first = min(_OTHERS_FIRST_DROPOUT, dropout)
    return Ranges(sizes_to(size), _randaugment_of(name), NO_RANGE, NO_RANGE, (first, dropout))


def has_published_ranges(model: str) -> bool:
    """Whether a network's strengths under the laws were published."""
    return model.lower() in _RELEASED


def _randaugment_of(name: str) -> Optional[Range]:
    """Version 2's small networks take AutoAugment instead, which has no strength."""
    return None if name.startswith("v2-b") else _OTHERS_RANDAUGMENT


def sizes_to(last: int) -> Tuple[int, int]:
    """First and last size: from 128 pixels; from half of it to a last size that is no larger."""
    return (FIRST_RESOLUTION if last > FIRST_RESOLUTION else max(last // 2, LEAST_RESOLUTION)), last


def staged(ranges: Ranges, *, rule: str, count: int, align: Optional[int] = None) -> Tuple[Stage, ...]:
    """The stages between given first and last values; see `stages`."""
    one_of("progressive.rule", rule, RULES[1:])
    at_least("progressive.stages", count, 1)
    return tuple(_stage(ranges, rule, i, count, align) for i in range(count))


def _stage(ranges: Ranges, rule: str, i: int, count: int, align: Optional[int]) -> Stage:
    way = i / (count - 1) if count > 1 else 1.0
    first, last = ranges.resolution
    size = int(first + (last - first) * ((i + 1) / count if rule == "released" else way))
    return Stage(
        resolution=size if align is None else aligned(size, align),
        randaugment=None if ranges.randaugment is None else _between(ranges.randaugment, way),
        mixup_alpha=_between(ranges.mixup_alpha, way),
        cutmix_alpha=_between(ranges.cutmix_alpha, way),
        dropout=ranges.dropout[1] if rule == "released" else _between(ranges.dropout, way),
        start=i / count,
        end=(i + 1) / count,
    )


def _between(ends: Range, way: float) -> float:
    first, last = ends
    return first + (last - first) * way


def aligned(size: int, goal: int) -> int:
    """The size nearest to ``size`` with the remainder of ``goal`` modulo 32; the smaller of two as near."""
    below = size - (size - goal) % MODULUS
    found = [value for value in (below, below + MODULUS) if value >= LEAST_RESOLUTION]
    return min(found, key=lambda value: (abs(value - size), value))


@dataclass(frozen=True)
class ProgressiveConfig:
    """How a phase grows image size and regularisation; ``rule`` off: not at all.

    The ranges are [first, last]; empty ones are the law's own for the network. ``align``: none; eval, the
    evaluation size's remainder modulo 32; or a size. ``micro``, ``replicas``, ``splits`` and, on CPU and
    CUDA, ``torch_micro`` are each stage's, empty: the phase's; the global batch stays, by accumulating.
    """

    rule: str = "off"
    stages: int = 4
    align: str = "none"
    resolution: Tuple[int, ...] = ()
    randaugment: Tuple[float, ...] = ()
    mixup_alpha: Tuple[float, ...] = ()
    cutmix_alpha: Tuple[float, ...] = ()
    dropout: Tuple[float, ...] = ()
    micro: Tuple[int, ...] = ()
    torch_micro: Tuple[int, ...] = ()
    replicas: Tuple[int, ...] = ()
    splits: Tuple[Tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        one_of("progressive.rule", self.rule, RULES)
        at_least("progressive.stages", self.stages, 1)
        if self.align not in ("none", "eval") and not self.align.isdigit():
            raise ValueError(f"progressive.align={self.align!r}: must be none, eval, or a size in pixels")
        limits = {
            "resolution": (LEAST_RESOLUTION, 4096),
            "randaugment": (0, MOST_MAGNITUDE),
            "mixup_alpha": (0, 100),
            "cutmix_alpha": (0, 100),
            "dropout": (0, 0.99),
        }
        for key, (low, high) in limits.items():
            _check_range(key, getattr(self, key), low, high)
        for key in ("micro", "torch_micro", "replicas", "splits"):
            given = getattr(self, key)
            if len(given) not in (0, self.stages):
                raise ValueError(
                    f"progressive.{key} has {len(given)} values: give one for each of {self.stages} stages"
                )
        for key in ("micro", "torch_micro", "replicas"):
            for value in getattr(self, key):
                at_least(f"progressive.{key}", value, 1)

    @property
    def is_on(self) -> bool:
        """Whether the phase has stages."""
        return self.rule != "off"

    def ranges(self, own: Ranges) -> Ranges:
        """The network's own first and last values, but for those that are set."""
        given = {key: tuple(getattr(self, key)) for key in _RANGES if getattr(self, key)}
        return replace(own, **given)


def _check_range(key: str, ends: Tuple[float, ...], low: float, high: float) -> None:
    if len(ends) not in (0, 2):
        raise ValueError(f"progressive.{key}={list(ends)}: must be [first, last], or [] for the law's own")
    for value in ends:
        between(f"progressive.{key}", value, low, high)
