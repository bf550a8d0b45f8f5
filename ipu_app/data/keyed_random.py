"""Random numbers that are a pure function of (seed, key): the same in every process and every version of
Python.

SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014). The generators of
Python and numpy are no slower per number, but take thirty microseconds to seed, which each image needs anew.
"""

from __future__ import annotations

_MASK = 2**64 - 1
_STEP = 0x9E3779B97F4A7C15


def _mixed(value: int) -> int:
    """SplitMix64's finaliser: a bijection of 64 bits in which every input bit reaches every output bit."""
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & _MASK
    return value ^ (value >> 31)


class KeyedRandom:
    """A stream of numbers for one sample: ``seed`` and ``key`` are 0 or more."""

    __slots__ = ("_state",)

    def __init__(self, seed: int, key: int) -> None:
        self._state = _mixed((_mixed(seed + _STEP) + key) & _MASK)

    def random(self) -> float:
        """The next number, uniform on [0, 1), 53 bits."""
        self._state = (self._state + _STEP) & _MASK
        return (_mixed(self._state) >> 11) * 2.0**-53

    def below(self, limit: int) -> int:
        """The next whole number, uniform on 0 to limit - 1, for limits far below 2^53."""
        return int(self.random() * limit)
