"""What a data set is made from: a numbered collection of encoded or raw images with class labels."""

from __future__ import annotations

import hashlib
from typing import Optional, Sequence, Tuple, Union

import numpy as np

Raw = Union[bytes, np.ndarray]
MOST_IMAGE_BYTES = 1 << 29  # of one encoded image


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
    is_synthetic: bool = False
    problems: Tuple[str, ...] = ()
    manifest_hash: str = ""
    shard_sizes: Tuple[int, ...] = ()

    def __len__(self) -> int:
        raise NotImplementedError

    def read(self, index: int) -> Tuple[Raw, int]:
        """Image ``index`` as encoded bytes or as uint8 pixels (H, W, 3), and its label."""
        raise NotImplementedError

    def labels(self) -> Optional[np.ndarray]:
        """Labels of all images, int64; None where they are known only by reading."""
        return None

    def name(self, index: int) -> str:
        """What to call image ``index`` in a report."""
        return f"{self.location}[{index}]"


class Subset(Source):
    """``limit`` images of another source: a fixed random choice, kept in the source's order."""

    def __init__(self, source: Source, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"limit={limit}: must be 1 image or more")
        self._source = source
        choice = np.random.Generator(np.random.Philox(key=[0, 0])).permutation(len(source))[:limit]
        self._indices = np.sort(choice)
        for field in ("kind", "location", "classes", "flip", "small", "is_synthetic", "problems"):
            setattr(self, field, getattr(source, field))
        self.kind = f"{source.kind}, {len(choice)} of {len(source)} images"
        self.manifest_hash = hashlib.sha256(f"{source.manifest_hash} {limit}".encode()).hexdigest()

    def __len__(self) -> int:
        return len(self._indices)

    def read(self, index: int) -> Tuple[Raw, int]:
        """Image ``index`` of the subset."""
        return self._source.read(int(self._indices[index]))

    def name(self, index: int) -> str:
        """The other source's name of the image."""
        return self._source.name(int(self._indices[index]))


class Renumbered(Source):
    """Another source's images, labelled by places in ``classes``, those that a model was trained on.

    Refuses classes that are not among them.
    """

    def __init__(self, source: Source, classes: Sequence[str]) -> None:
        places = {name: place for place, name in enumerate(classes)}
        unknown = [name for name in source.classes if name not in places]
        if unknown:
            raise ValueError(
                f"data.source={source.location}: {len(unknown)} of its {len(source.classes)} classes are not "
                f"among the model's {len(places)}, for instance {unknown[0]!r}"
            )
        self._source = source
        self._places = [places[name] for name in source.classes]
        for field in ("kind", "location", "flip", "small", "is_synthetic", "problems", "manifest_hash"):
            setattr(self, field, getattr(source, field))
        self.shard_sizes = source.shard_sizes
        self.classes = tuple(classes)

    def __len__(self) -> int:
        return len(self._source)

    def read(self, index: int) -> Tuple[Raw, int]:
        """Image ``index`` and its label in the model's classes."""
        raw, label = self._source.read(index)
        return raw, self._places[label]

    def name(self, index: int) -> str:
        """The other source's name of the image."""
        return self._source.name(index)
