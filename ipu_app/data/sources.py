"""What each kind of data source (``config.kinds.SOURCES``) claims, and how it is opened."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, NamedTuple

from .access import Access
from .cifar import CifarSource, find_cifar
from .embedded import DigitsSource
from .folder import FolderSource
from .generated import GeneratedSource, SyntheticSource
from .shards import ShardSource, is_shards
from .source import Source


class Asked(NamedTuple):
    """Which split of which data, and what opening them may take; ``size`` is for synthetic images only."""

    data: str
    split: str
    size: int
    access: Access


class Opener(NamedTuple):
    """``claims`` tells whether data of this name are of this kind (those by name need not ask)."""

    open: Callable[[Asked], Source]
    claims: Callable[[str], bool] = lambda data: False


def _open_cifar(asked: Asked) -> Source:
    found = find_cifar(Path(asked.data))
    assert found is not None, "claimed before it is opened"
    return CifarSource(*found, asked.split)


DIGITS = Opener(lambda asked: DigitsSource(asked.split))
GENERATED = Opener(lambda asked: GeneratedSource(asked.data, asked.split))
SYNTHETIC = Opener(lambda asked: SyntheticSource(asked.data, asked.split, asked.size))
SHARDS = Opener(lambda asked: ShardSource(asked.data, asked.split, asked.access), is_shards)
CIFAR = Opener(_open_cifar, lambda data: find_cifar(Path(data)) is not None)
FOLDER = Opener(
    lambda asked: FolderSource(Path(asked.data), asked.split, cache_dir=asked.access.cache_dir),
    lambda data: True,
)
