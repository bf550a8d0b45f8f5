"""What is searched: options per section, and the group size, norm and training resolution of the network.

A point of the space is a plain mapping from names (``section2.block``, ``norm``, ...) to values, which is
what samplers draw and what is kept.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from dataclasses import dataclass, replace
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ipu_app.config.kinds import BLOCKS
from ipu_app.models.choices import Choice, candidate, own_choices
from ipu_app.models.spec import EfficientNetSpec, make_spec

Point = Dict[str, Any]
PARTS = ("block", "kernel", "ratio", "repeats")
FULL_TURN = 32  # five halvings: sizes with the same remainder meet the same paddings


@dataclass(frozen=True)
class Limits:
    """What may be chosen; empty: what the base has. ``repeats`` are added to the base's own.

    ``sections`` are the numbers, from 1, of those that are searched; the others stay (empty: all are
    searched). ``resolutions`` in pixels.
    """

    blocks: Tuple[str, ...] = tuple(BLOCKS)
    kernels: Tuple[int, ...] = (3, 5)
    ratios: Tuple[float, ...] = (1.0, 4.0, 6.0)
    repeats: Tuple[int, ...] = (-1, 0, 1)
    sections: Tuple[int, ...] = ()
    group_sizes: Tuple[int, ...] = ()
    norms: Tuple[str, ...] = ()
    resolutions: Tuple[int, ...] = ()


class Space:
    """All networks within limits around a base; refuses sections it does not have, and an empty space."""

    def __init__(self, base: str, limits: Optional[Limits] = None) -> None:
        self.base, self.limits = make_spec(base), limits or Limits()
        count = len(self.base.sections)
        unknown = [number for number in self.limits.sections if not 1 <= number <= count]
        if unknown:
            raise ValueError(f"sections={unknown[0]}: {base} has sections 1 to {count}")
        self.options = self._options()
        for name, values in self.options.items():
            if not values:
                raise ValueError(f"{name}: no value to choose, so the space is empty")
        self._bases: Dict[Tuple[int, str], EfficientNetSpec] = {}

    def _options(self) -> Dict[str, Tuple[Any, ...]]:
        limits, base = self.limits, self.base
        searched = limits.sections or tuple(range(1, len(base.sections) + 1))
        found: Dict[str, Tuple[Any, ...]] = {}
        for number, own in enumerate(own_choices(base), start=1):
            if number not in searched:
                continue
            counts = tuple(dict.fromkeys(max(1, own.repeats + more) for more in limits.repeats))
            values = (limits.blocks, limits.kernels, tuple(map(float, limits.ratios)), counts)
            for part, allowed in zip(PARTS, values):
                found[f"section{number}.{part}"] = tuple(dict.fromkeys(allowed))
        found["group_size"] = limits.group_sizes or (base.group_size,)
        found["norm"] = limits.norms or (base.norm,)
        found["resolution"] = limits.resolutions or (base.native_resolution,)
        return found

    @property
    def size(self) -> int:
        """How many points there are."""
        total = 1
        for values in self.options.values():
            total *= len(values)
        return total

    def points(self) -> Iterator[Point]:
        """Yield every point, in order."""
        for values in itertools.product(*self.options.values()):
            yield dict(zip(self.options, values))

    def draw(self, random_state: random.Random) -> Point:
        """Return a point, all with the same chance."""
        return {name: random_state.choice(values) for name, values in self.options.items()}

    def choices(self, point: Mapping[str, Any]) -> Tuple[Choice, ...]:
        """Return the choice of every section, the base's own where it is not searched."""
        return tuple(
            replace(own, **{part: point.get(f"section{number}.{part}", getattr(own, part)) for part in PARTS})
            for number, own in enumerate(own_choices(self.base), start=1)
        )

    def spec(self, point: Mapping[str, Any]) -> EfficientNetSpec:
        """Return the network of a point; its native resolution is the one to train at."""
        key = (point["group_size"], point["norm"])
        if key not in self._bases:
            self._bases[key] = make_spec(self.base.name, group_size=key[0], norm=key[1])
        spec = candidate(self._bases[key], self.choices(point))
        return replace(spec, native_resolution=point["resolution"], half_resolution=None)

    def own_point(self) -> Point:
        """Return the base itself as a point; it need not be within the limits."""
        own = own_choices(self.base)
        listed = {
            f"section{number}.{part}": getattr(choice, part)
            for number, choice in enumerate(own, start=1)
            for part in PARTS
        }
        point = {name: listed[name] for name in self.options if name in listed}
        first = {name: self.options[name][0] for name in ("group_size", "norm")}
        return {**point, **first, "resolution": self.base.native_resolution}


def network_key(spec: EfficientNetSpec) -> str:
    """Return a short name of what the network computes, the same for points that describe the same network.

    The kernel of a section and the order of options do not matter where they make no difference.
    """
    from ipu_app.models.layout import block_specs, stem_conv, top_conv

    shape: List[Any] = [
        [repr(conv) for conv in block.convs] + [block.se_channels] for block in block_specs(spec)
    ]
    facts = [shape, repr(stem_conv(spec)), repr(top_conv(spec)), spec.norm, spec.native_resolution]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


def parity_resolutions(test_size: int, sizes: Sequence[int]) -> Tuple[int, ...]:
    """Return for each wanted training size the nearest one with the test size's remainder modulo 32."""
    rest = test_size % FULL_TURN
    near = []
    for size in sizes:
        below = (size - rest) // FULL_TURN * FULL_TURN + rest
        options = [option for option in (below, below + FULL_TURN) if option >= FULL_TURN]
        near.append(min(options, key=lambda option: (abs(option - size), option)))
    return tuple(dict.fromkeys(near))
