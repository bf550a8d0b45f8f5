"""Tar shards in WebDataset's form, on disk or behind any URL that webdataset opens.

``ipu_app shards`` writes a folder with ``index.json`` (classes, and for each split its shards with their
numbers of images); shards from elsewhere need none if they are on disk. Remote shards are copied to the cache
folder, one by one, when the epoch reaches them: then every promise on order and counts holds for them too.
"""

from __future__ import annotations

import fcntl
import glob
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np

from .source import Source, UnreadableImageError
from .tar_table import TarTable, read_table, read_tables

INDEX = "index.json"
INDEX_FORMAT = 1
SPLIT_FIELD = "{split}"


class Shard(NamedTuple):
    """One tar file: where it is (path or URL), and how many images it holds."""

    location: str
    samples: int


def is_remote(data: str) -> bool:
    """Whether ``data`` is a URL, "pipe:" commands included."""
    return "://" in data or data.startswith("pipe:")


def is_shards(data: str) -> bool:
    """Whether ``data`` names tar shards: a URL, a pattern ending in .tar, or a folder with an index or
    shards.
    """
    if is_remote(data) or data.endswith(".tar"):
        return True
    root = Path(data)
    return (root / INDEX).is_file() or (root.is_dir() and bool(_matches(_pattern(data), "train")))


def _pattern(data: str) -> str:
    return data if data.endswith(".tar") else os.path.join(data, SPLIT_FIELD + "-*.tar")


def _matches(pattern: str, split: str) -> List[str]:
    return sorted(glob.glob(pattern.replace(SPLIT_FIELD, split)))


def join_url(base: str, name: str) -> str:
    """The URL of the file ``name``: in place of ``{}`` where ``base`` has one, else below it."""
    return base.replace("{}", name) if "{}" in base else f"{base.rstrip('/')}/{name}"


def copy_url(url: str, target: Path) -> None:
    """Copies what ``url`` holds to ``target``, whole or not at all, once even if several processes ask."""
    import webdataset

    target.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{target}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.is_file():
            return
        handle, temporary = tempfile.mkstemp(dir=target.parent, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file, webdataset.gopen(url, "rb") as stream:
                shutil.copyfileobj(stream, file)
        except Exception as error:  # curl, cloud clients and pipes each raise types of their own
            os.unlink(temporary)
            raise ValueError(f"data.source={url}: can not be read ({error})") from error
        os.replace(temporary, target)


def parse_index(text: str, where: str) -> Dict[str, Any]:
    """The content of an index file; ValueError where it is not one of ours."""
    try:
        index = json.loads(text)
    except ValueError as error:
        raise ValueError(f"data.source={where}: {INDEX} is no JSON ({error})") from error
    if not isinstance(index, Mapping) or index.get("format") != INDEX_FORMAT:
        raise ValueError(
            f"data.source={where}: {INDEX} must be as ipu_app shards writes it, format {INDEX_FORMAT}"
        )
    return dict(index)


class ShardSource(Source):
    """One split of a set of tar shards, as encoded bytes.

    ``data``: a folder, a pattern of local files with ``{split}`` in it (``/data/in-{split}-*.tar``), or the
    URL of a folder with an index (``pipe:`` commands have ``{}`` in place of the file name). ``cache_dir``
    keeps the tables of local shards without an index, and copies of remote ones, which need it.
    """

    kind = "tar shards"

    def __init__(self, data: str, split: str, *, cache_dir: Optional[Path] = None) -> None:
        self.location = f"{data}[{split}]"
        self._tables: Dict[int, TarTable] = {}
        self._cache: Optional[Path] = None
        if is_remote(data):
            if cache_dir is None:
                raise ValueError(f"data.source={data}: remote shards need a cache folder")
            self._cache = cache_dir / f"shards-{hashlib.sha256(data.encode()).hexdigest()[:16]}"
            copy_url(join_url(data, INDEX), self._cache / INDEX)
            self._from_index((self._cache / INDEX).read_text(), split, data)
        elif (Path(data) / INDEX).is_file():
            self._from_index((Path(data) / INDEX).read_text(), split, data)
        else:
            self._from_files(_pattern(data), split, cache_dir)
        self.shard_sizes = tuple(shard.samples for shard in self._shards)
        self._starts = np.concatenate([[0], np.cumsum(self.shard_sizes)])

    def _from_index(self, text: str, split: str, data: str) -> None:
        index = parse_index(text, data)
        if split not in index["splits"]:
            known = ", ".join(sorted(index["splits"]))
            raise ValueError(f"data.source={data}: {INDEX} has no split {split}; it has {known}")
        part = index["splits"][split]
        self.classes = tuple(index["classes"])
        self.flip, self.small = bool(index.get("flip", True)), bool(index.get("small", False))
        self.manifest_hash = part["manifest"]
        join = join_url if self._cache else os.path.join
        self._shards = [Shard(join(data, shard["name"]), shard["samples"]) for shard in part["shards"]]

    def _from_files(self, pattern: str, split: str, cache_dir: Optional[Path]) -> None:
        paths = _matches(pattern, split)
        if not paths:
            raise ValueError(
                f"data.source={pattern}: no {split} shards; expected {SPLIT_FIELD}-*.tar, or {INDEX}"
            )
        self._tables = dict(enumerate(read_tables(paths, cache_dir)))
        self._shards = [Shard(path, len(self._tables[number])) for number, path in enumerate(paths)]
        # train and val of one set must agree on the classes, so both look at the training labels
        train = paths if split == "train" else _matches(pattern, "train")
        tables = list(self._tables.values()) if split == "train" else read_tables(train, cache_dir)
        highest = max(int(table.labels.max()) for table in tables or self._tables.values())
        self.classes = tuple(str(number) for number in range(highest + 1))
        digest = hashlib.sha256()
        for path, table in zip(paths, self._tables.values()):
            digest.update(f"{os.path.basename(path)} {len(table)} {os.path.getsize(path)}\n".encode())
        self.manifest_hash = digest.hexdigest()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def _place(self, index: int) -> Tuple[int, int]:
        """Number of the shard, and of the image within it."""
        shard = int(self._starts.searchsorted(index, side="right")) - 1
        return shard, index - int(self._starts[shard])

    def _local(self, shard: int) -> str:
        """Path of a shard on this machine; a remote one is copied first."""
        location = self._shards[shard].location
        if self._cache is None:
            return location
        target = self._cache / f"{shard:06d}.tar"
        if not target.is_file():
            copy_url(location, target)
        return str(target)

    def read(self, index: int) -> Tuple[bytes, int]:
        """Image ``index`` as bytes, and its label; UnreadableImageError where the shard does not hold it."""
        shard, place = self._place(index)
        path = self._local(shard)
        try:
            if shard not in self._tables:
                self._tables[shard] = read_table(Path(path))
            table = self._tables[shard]
            with open(path, "rb", buffering=0) as file:
                file.seek(int(table.offsets[place]))
                return file.read(int(table.sizes[place])), int(table.labels[place])
        except (OSError, IndexError, ValueError) as error:
            raise UnreadableImageError(f"{path}: {error}") from error

    def name(self, index: int) -> str:
        """Shard, and number of the image within it."""
        shard, place = self._place(index)
        return f"{os.path.basename(self._shards[shard].location)}[{place}]"
