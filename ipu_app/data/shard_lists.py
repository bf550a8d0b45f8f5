"""Which tar files a setting names: patterns and lists in WebDataset's notation, on disk or remote.

There, the names tell what is for training and what for validation: ``{split}`` in the pattern stands for
"train" or "val"; without it, a shard is of the split that its own name tells, or else the nearest folder's
(``.../imagenet1k-validation-00.tar``, ``.../val/0000.tar``).
"""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path
from typing import List, Optional

from .remote import expand, is_remote

SPLIT_FIELD = "{split}"
_SPLIT = re.compile(r"train|(?<![a-z])val")  # as in training, valid, validation; not as in interval
_TAR = re.compile(r"\.(tar|tgz|tbz2?|txz|tar\.(gz|bz2|xz|zst|lz4|Z))$")
EXPECTED = (
    f"expected names that hold train and val, such as {SPLIT_FIELD}-*.tar or "
    "train-{000..127}.tar::val-{00..07}.tar, or a folder with index.json"
)


def is_list(data: str) -> bool:
    """Whether ``data`` names tar files themselves, compressed ones (to refuse) too, not a folder of them."""
    named = bool(_TAR.search(data)) and not os.path.isdir(data)
    return named or "::" in data or (is_remote(data) and ".tar" in data)


def shard_files(folder: Path) -> List[Path]:
    """Training shards in a folder without an index: the plain ones, or if there are none the compressed."""
    found = [path for path in sorted(folder.glob("train-*")) if _TAR.search(path.name)]
    return [path for path in found if path.suffix == ".tar"] or found


def in_folder(folder: str) -> str:
    """The pattern of the shards in a folder without an index."""
    named = next(iter(shard_files(Path(folder))), Path("train-0.tar"))
    match = _TAR.search(named.name)
    return os.path.join(glob.escape(folder), f"{SPLIT_FIELD}-*{match.group() if match else '.tar'}")


def split_of(location: str) -> Optional[str]:
    """The split that a shard's name, or else the nearest of its folders' names, tells: train, val or None."""
    for part in reversed(location.partition("?")[0].split("/")):
        found = _SPLIT.search(part.lower())
        if found:
            return found.group()
    return None


def list_shards(data: str, split: str) -> List[str]:
    """Paths or URLs of the split's shards in the order given; ValueError where there are none, or where one's
    name does not tell its split.
    """
    found = [shard for name in expand(data.replace(SPLIT_FIELD, split)) for shard in _matches(name)]
    if SPLIT_FIELD not in data:
        unclear = next((shard for shard in found if split_of(shard) is None), None)
        if unclear is not None:
            raise ValueError(f"data.source={unclear}: for training or validation? {EXPECTED}")
        found = [shard for shard in found if split_of(shard) == split]
    if not found:
        raise ValueError(f"data.source={data}: no {split} shards; {EXPECTED}")
    return found


def _matches(name: str) -> List[str]:
    if is_remote(name):
        return [name]
    if glob.has_magic(name):
        return sorted(glob.glob(name))
    if not Path(name).exists():
        raise ValueError(f"data.source={name}: no such shard")
    return [name]
