"""Where the images lie inside a tar shard in WebDataset's form: ``key.jpg`` beside ``key.cls`` (or
``key.cls.txt``, ``key.json``).

The headers are read once; after that any image is one seek and one read, so a shard is as random-access as a
folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from .manifest import IMAGE_SUFFIXES, load_arrays, store_arrays

_LABEL_KEYS = ("cls", "label", "class")  # looked for in key.json
_LABEL_SUFFIXES = ("cls", "cls.txt", "class", "json")


@dataclass(frozen=True)
class TarTable:
    """Images of one shard in the order in which they lie there: offsets and sizes in bytes, labels; all
    int64.
    """

    offsets: np.ndarray
    sizes: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets)


def _label(suffix: str, content: bytes) -> Optional[int]:
    """The label, 0 or more, that a ``.cls`` or ``.json`` member holds; None if it holds none."""
    try:
        if suffix == "json":
            record = json.loads(content)
            label = next((int(record[key]) for key in _LABEL_KEYS if key in record), -1)
        else:
            label = int(content)
    except (ValueError, TypeError):
        return None
    return label if label >= 0 else None


def read_table(path: Path) -> TarTable:
    """Table of the shard ``path``; ValueError for what is no tar file or holds no labelled image."""
    images: Dict[str, Tuple[int, int]] = {}
    labels: Dict[str, int] = {}
    try:
        with tarfile.open(path, "r:") as shard:
            for member in shard:
                folder, _, file = member.name.rpartition("/")
                stem, _, suffix = file.partition(".")
                key, suffix = f"{folder}/{stem}", suffix.lower()
                if not member.isfile():
                    continue
                if f".{suffix}" in IMAGE_SUFFIXES:
                    images[key] = (member.offset_data, member.size)
                elif suffix in _LABEL_SUFFIXES:
                    label = _label(suffix, shard.extractfile(member).read())
                    if label is not None:
                        labels[key] = label
    except (tarfile.TarError, OSError) as error:
        raise ValueError(f"data.source={path}: not a readable tar shard ({error})") from error
    rows: List[Tuple[int, int, int]] = [
        (offset, size, labels[key]) for key, (offset, size) in images.items() if key in labels
    ]
    if not rows:
        raise ValueError(f"data.source={path}: no images with labels; expected KEY.jpg beside KEY.cls")
    offsets, sizes, found = (np.asarray(column, dtype=np.int64) for column in zip(*rows))
    return TarTable(offsets, sizes, found)


def read_tables(paths: Sequence[str], cache_dir: Optional[Path]) -> List[TarTable]:
    """Tables of several shards, from the cache while none of the files has changed."""
    if cache_dir is None:
        return [read_table(Path(path)) for path in paths]
    state = [[os.path.abspath(path), os.path.getsize(path), os.stat(path).st_mtime_ns] for path in paths]
    cache_file = cache_dir / f"tars-{hashlib.sha256(json.dumps(state).encode()).hexdigest()[:32]}.npz"
    stored = load_arrays(cache_file)
    if stored is None:
        tables = [read_table(Path(path)) for path in paths]
        columns = {
            name: [getattr(table, name) for table in tables] for name in ("offsets", "sizes", "labels")
        }
        stored = {name: np.concatenate(parts) for name, parts in columns.items()}
        stored["ends"] = np.cumsum([len(table) for table in tables])
        store_arrays(cache_file, **stored)
    cuts = stored["ends"][:-1]
    parts = (np.split(stored[name], cuts) for name in ("offsets", "sizes", "labels"))
    return [TarTable(*columns) for columns in zip(*parts)]
