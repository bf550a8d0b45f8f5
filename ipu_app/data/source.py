"""What a data set is made from: a numbered collection of encoded or raw images with class labels."""

from __future__ import annotations

from typing import Tuple, Union

import numpy as np

Raw = Union[bytes, np.ndarray]


class UnreadableImageError(ValueError):
    """One image can not be read or decoded; the data set counts it and goes on."""


class Source:
    """Images by number. Subclasses fill in the attributes and the three methods below.

    ``flip``: whether a mirrored image keeps its class (not so for digits). ``small``: images of a few dozen
    pixels, augmented by shifts instead of random resized crops. ``problems``: what is wrong with the data, a
    line each. ``shard_sizes``: samples per shard where reading should stay local, or an empty tuple.
    """

    kind: str = ""
    location: str = ""
    classes: Tuple[str, ...] = ()
    flip: bool = True
    small: bool = False
    problems: Tuple[str, ...] = ()
    manifest_hash: str = ""
    shard_sizes: Tuple[int, ...] = ()

    def __len__(self) -> int:
        raise NotImplementedError

    def read(self, index: int) -> Tuple[Raw, int]:
        """Image ``index`` as encoded bytes or as uint8 pixels (H, W, 3), and its label."""
        raise NotImplementedError

    def name(self, index: int) -> str:
        """What to call image ``index`` in a report."""
        return f"{self.location}[{index}]"
