"""Tar shards in WebDataset's form, on disk or behind a URL.

``ipu_app shards`` writes a folder with ``index.json`` (classes, and for each split its shards with their
numbers of images, sizes and hashes). Remote shards with an index are copied to the cache folder one by one,
when the epoch reaches them. Shards from elsewhere need no index: they are named by patterns (shard_lists.py)
and searched for images and labels once; remote ones are copied for that, all of them, at the first start.
Either way every promise on order and counts holds for them too.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .remote import Expected, copy_url, is_remote, join_url, refresh
from .shard_lists import in_folder, is_list, list_shards
from .source import Source, UnreadableImageError
from .tar_table import TarTable, read_table, read_tables

INDEX = "index.json"
INDEX_FORMAT = 1
UNASKED_BYTES = 10 * 10**9  # so much may be copied to a cache folder that nobody chose
_COPIES_AT_ONCE = 4


class Shard(NamedTuple):
    """One tar file: its path or URL, where it is (or will be copied to) on this machine, how many images it
    holds, and what is known of it.
    """

    location: str
    path: Path
    samples: int
    expected: Expected = Expected()


def is_shards(data: str) -> bool:
    """Whether ``data`` names tar shards: a URL, a pattern or list of .tar files, or a folder with an index or
    shards.
    """
    if is_remote(data) or is_list(data):
        return True
    root = Path(data)
    return (root / INDEX).is_file() or (root.is_dir() and any(root.glob("train-*.tar")))


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

    ``data``: a folder or its URL (``pipe:`` commands have ``{}`` in place of the file name), or tar files by
    pattern, see shard_lists.py. ``cache_dir`` keeps the tables of shards without an index, and copies of
    remote ones, which need it; data that would take more than ``most_copied_bytes`` there are refused.
    """

    kind = "tar shards"

    def __init__(
        self,
        data: str,
        split: str,
        *,
        cache_dir: Optional[Path] = None,
        most_copied_bytes: Optional[int] = None,
    ) -> None:
        self.location = f"{data}[{split}]"
        self._tables: Dict[int, TarTable] = {}
        self._cache, self._most_bytes = cache_dir, most_copied_bytes
        if is_remote(data) and cache_dir is None:
            raise ValueError(f"data.source={data}: remote shards need a cache folder")
        if is_list(data):
            self._from_list(data, split)
        elif is_remote(data):
            self._from_url(data, split)
        elif (Path(data) / INDEX).is_file():
            index = parse_index((Path(data) / INDEX).read_text(), data)
            self._from_index(index, split, data, {})
        else:
            self._from_list(in_folder(data), split)
        self.shard_sizes = tuple(shard.samples for shard in self._shards)
        self._starts = np.concatenate([[0], np.cumsum(self.shard_sizes)])

    def _from_url(self, data: str, split: str) -> None:
        """A remote folder. Its index is read at every start: what it tells of may have been replaced."""
        assert self._cache is not None
        folder = self._cache / f"shards-{hashlib.sha256(data.encode()).hexdigest()[:16]}"
        note = refresh(join_url(data, INDEX), folder / INDEX)
        index = parse_index((folder / INDEX).read_text(), data)
        parts = [shard for part in index["splits"].values() for shard in part["shards"]]
        self._check_room(data, sum(shard.get("bytes", 0) for shard in parts))
        copies = {shard["name"]: folder / _copy_name(shard) for shard in parts}
        self._from_index(index, split, data, copies)
        self.problems = tuple(filter(None, (note, *_copy_notes(folder, parts))))

    def _from_index(
        self, index: Mapping[str, Any], split: str, data: str, copies: Mapping[str, Path]
    ) -> None:
        if split not in index["splits"]:
            known = ", ".join(sorted(index["splits"]))
            raise ValueError(f"data.source={data}: {INDEX} has no split {split}; it has {known}")
        part = index["splits"][split]
        self.classes = tuple(index["classes"])
        self.flip, self.small = bool(index.get("flip", True)), bool(index.get("small", False))
        self.manifest_hash = part["manifest"]
        self._shards = [
            Shard(
                join_url(data, shard["name"]) if copies else os.path.join(data, shard["name"]),
                copies.get(shard["name"], Path(data) / shard["name"]),
                shard["samples"],
                Expected(shard.get("bytes"), shard.get("sha256")),
            )
            for shard in part["shards"]
        ]

    def _from_list(self, data: str, split: str) -> None:
        locations = list_shards(data, split)
        paths = self._fetch(data, locations)
        self._tables = dict(enumerate(read_tables([str(path) for path in paths], self._cache)))
        self._shards = [
            Shard(location, path, len(self._tables[number]))
            for number, (location, path) in enumerate(zip(locations, paths))
        ]
        self.classes = self._numbered_classes(data, split)
        digest = hashlib.sha256()
        for shard in self._shards:
            name = os.path.basename(shard.location)
            digest.update(f"{name} {shard.samples} {shard.path.stat().st_size}\n".encode())
        self.manifest_hash = digest.hexdigest()

    def _numbered_classes(self, data: str, split: str) -> Tuple[str, ...]:
        """Numbers as names: as many as the training labels tell, for validation too. (Not where those shards
        are remote and not here: nobody wants them copied for this.)
        """
        highest = max(int(table.labels.max()) for table in self._tables.values())
        if split != "train":
            try:
                paths = [self._path_of(location) for location in list_shards(data, "train")]
            except ValueError:
                paths = []
            if paths and all(path.is_file() for path in paths):
                tables = read_tables([str(path) for path in paths], self._cache)
                known = max(int(table.labels.max()) for table in tables)
                if highest > known:
                    raise ValueError(
                        f"data.source={data}: {split} has label {highest}; train goes to {known} only"
                    )
                highest = known
        return tuple(str(number) for number in range(highest + 1))

    def _path_of(self, location: str) -> Path:
        """Where a shard without an index is on this machine, or will be."""
        if not is_remote(location):
            return Path(location)
        assert self._cache is not None
        return self._cache / "tars" / f"{hashlib.sha256(location.encode()).hexdigest()[:32]}.tar"

    def _fetch(self, data: str, locations: Sequence[str]) -> List[Path]:
        """Paths of the shards, the remote ones copied: without an index only they can tell what they hold."""

        def fetch(number: int) -> Path:
            location, path = locations[number], self._path_of(locations[number])
            if is_remote(location):
                copy_url(
                    location,
                    path,
                    announcement=f"copying shard {number + 1} of {len(locations)}: {location} to {path}",
                )
            return path

        first = fetch(0)
        if is_remote(locations[0]):
            self._check_room(data, first.stat().st_size * len(locations))
        with ThreadPoolExecutor(_COPIES_AT_ONCE) as pool:
            return [first, *pool.map(fetch, range(1, len(locations)))]

    def _check_room(self, data: str, total_bytes: int) -> None:
        if self._most_bytes is not None and total_bytes > self._most_bytes:
            raise ValueError(
                f"data.cache_dir: not set; name a folder with room for copies of {data}, about "
                f"{total_bytes / 1e9:.0f} GB ({self._cache} takes {self._most_bytes / 1e9:.0f} GB unasked)"
            )

    def __len__(self) -> int:
        return int(self._starts[-1])

    def _place(self, index: int) -> Tuple[int, int]:
        """Number of the shard, and of the image within it."""
        shard = int(self._starts.searchsorted(index, side="right")) - 1
        return shard, index - int(self._starts[shard])

    def _local(self, shard: Shard) -> Path:
        """Path of a shard on this machine; a remote one is copied first."""
        if is_remote(shard.location) and not shard.path.is_file():
            copy_url(shard.location, shard.path, expected=shard.expected)
        return shard.path

    def read(self, index: int) -> Tuple[bytes, int]:
        """Image ``index`` as bytes, and its label; UnreadableImageError where the shard does not hold it."""
        shard, place = self._place(index)
        path = self._local(self._shards[shard])
        try:
            if shard not in self._tables:
                self._tables[shard] = read_table(path)
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


def _copy_name(shard: Mapping[str, Any]) -> str:
    """Name of a shard's copy: another one as soon as the index tells of another content."""
    known = json.dumps([shard["name"], shard.get("bytes"), shard.get("sha256")])
    return f"{hashlib.sha256(known.encode()).hexdigest()[:32]}.tar"


def _copy_notes(folder: Path, shards: Sequence[Mapping[str, Any]]) -> List[str]:
    """What to know of the copies in ``folder``: old ones that stay, and too little room for the new ones."""
    notes, wanted = [], {_copy_name(shard): int(shard.get("bytes", 0)) for shard in shards}
    here = {path.name: path.stat().st_size for path in folder.glob("*.tar")}
    old = [size for name, size in here.items() if name not in wanted]
    if old:
        notes.append(
            f"{folder}: {len(old)} copies ({sum(old) / 1e9:.1f} GB) are of shards replaced since; delete them"
        )
    missing = sum(size for name, size in wanted.items() if name not in here)
    free = shutil.disk_usage(folder).free
    if missing > free:
        notes.append(
            f"{folder}: {missing / 1e9:.0f} GB of shards are to be copied there, and {free / 1e9:.0f} GB are "
            "free; see data.cache_dir"
        )
    return notes
