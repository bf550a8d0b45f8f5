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

from pipelines.door import (
    JSON_BYTES,
    BadFile,
    equal,
    flag,
    list_of,
    maybe,
    parse_json,
    read_bytes,
    record,
    shown,
    table_of,
    text,
    whole,
)
from pipelines.words import counted

from .access import Access
from .notes import at_most
from .remote import Expected, NoShardError, copy_url, is_remote, join_url, refresh
from .shard_lists import in_folder, is_list, list_shards, shard_files
from .source import MOST_IMAGE_BYTES, Source, UnreadableImageError
from .tar_samples import MOST_CLASSES
from .tar_table import NoImagesError, TarTable, read_table, read_tables, table_notes
from .tar_walk import Damage, NoTarError, other_format, walk

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


_SHARD = record(
    {"name": text(255), "samples": whole(0, 10**9)},
    {"bytes": maybe(whole()), "sha256": maybe(text(64))},
)
_SPLIT = record({"manifest": text(200), "shards": list_of(_SHARD)})
_INDEX = record(
    {
        "format": equal(INDEX_FORMAT),
        "classes": list_of(text(1000), MOST_CLASSES),
        "splits": table_of(_SPLIT, 100),
    },
    {"flip": flag(), "small": flag()},
)


def is_shards(data: str) -> bool:
    """Whether ``data`` names tar shards: a URL, a pattern or list of .tar files, or a folder with an index or
    shards.
    """
    if is_remote(data) or is_list(data):
        return True
    root = Path(data)
    return (root / INDEX).is_file() or (root.is_dir() and bool(shard_files(root)))


def parse_index(content: bytes, where: str) -> Dict[str, Any]:
    """The content of an index file; BadFile where it is not one of ours."""
    try:
        index: Dict[str, Any] = parse_json(content, INDEX, _INDEX)
    except BadFile as error:
        raise BadFile(f"data.source={shown(where)}: {error}; ipu_app shards writes it") from None
    for split in index["splits"].values():
        for shard in split["shards"]:
            if shard["name"] in ("", ".", "..") or any(letter in shard["name"] for letter in "/\\\0"):
                name = shown(shard["name"])
                raise BadFile(f"data.source={shown(where)}: {INDEX}: shard {name!r} is no file's name")
    if len(set(index["classes"])) < len(index["classes"]):
        raise BadFile(f"data.source={shown(where)}: {INDEX}: classes: a name is there twice")
    return index


class ShardSource(Source):
    """One split of a set of tar shards, as encoded bytes.

    ``data``: a folder or its URL (``pipe:`` commands have ``{}`` in place of the file name), or tar files by
    pattern, see shard_lists.py. ``access``: where tables and copies are kept (remote shards need it), how
    much may be copied there, and which member of a sample is its image.
    """

    kind = "tar shards"

    def __init__(self, data: str, split: str, access: Optional[Access] = None) -> None:
        access = access or Access()
        self.location = f"{data}[{split}]"
        self._tables: Dict[int, TarTable] = {}
        self._access, self._cache = access, access.cache_dir
        if is_remote(data) and access.cache_dir is None:
            raise ValueError(f"data.source={data}: remote shards need a cache folder")
        if is_list(data):
            self._from_list(data, split)
        elif is_remote(data):
            self._from_url(data, split)
        elif (Path(data) / INDEX).is_file():
            self._from_folder(data, split)
        else:
            self._from_list(in_folder(data), split)
        self.shard_sizes = tuple(shard.samples for shard in self._shards)
        self._starts = np.concatenate([[0], np.cumsum(self.shard_sizes)]).astype(np.int64)
        if not len(self):
            raise ValueError(f"data.source={self.location}: no images; {'; '.join(self.problems[:3])}")

    def _from_url(self, data: str, split: str) -> None:
        """A remote folder. Its index is read at every start: what it tells of may have been replaced."""
        assert self._cache is not None
        folder = self._cache / f"shards-{hashlib.sha256(data.encode()).hexdigest()[:16]}"

        def check(copy: Path) -> None:
            parse_index(read_bytes(copy, limit=JSON_BYTES), data)

        note = refresh(join_url(data, INDEX), folder / INDEX, check=check, patience_s=self._access.patience_s)
        index = parse_index(read_bytes(folder / INDEX, limit=JSON_BYTES), data)
        parts = [shard for part in index["splits"].values() for shard in part["shards"]]
        self._check_room(data, sum(shard.get("bytes") or 0 for shard in parts))
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
        self.flip, self.small = index.get("flip", True), index.get("small", False)
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

    def _from_folder(self, data: str, split: str) -> None:
        """A folder with an index, whose shards are looked into at once: they may be others by now."""
        index = parse_index(read_bytes(Path(data) / INDEX, limit=JSON_BYTES), data)
        self._from_index(index, split, data, {})
        names = [os.path.basename(shard.location) for shard in self._shards]
        tables = read_tables(
            [str(shard.path) for shard in self._shards],
            self._cache,
            image_key=self._access.image_key,
            refuse_damaged=False,
        )
        for name, table in zip(names, tables):
            self._check_labels(name, table)
        notes = [
            f"{name}: has {counted(len(table), 'image')}, and by {INDEX} {shard.samples}"
            for name, shard, table in zip(names, self._shards, tables)
            if shard.samples != len(table)
        ]
        if notes:  # these are other data than those that were written
            found = f"{self.manifest_hash} {[len(table) for table in tables]}"
            self.manifest_hash = hashlib.sha256(found.encode()).hexdigest()
        self._tables = dict(enumerate(tables))
        self._shards = [shard._replace(samples=len(table)) for shard, table in zip(self._shards, tables)]
        self.problems = tuple(at_most([*notes, *table_notes(names, tables)]))

    def _check_labels(self, name: str, table: TarTable) -> None:
        if table.highest_label >= len(self.classes):
            raise BadFile(
                f"data.source={self.location}: {name} has label {table.highest_label}, and {INDEX} names "
                f"{counted(len(self.classes), 'class')}"
            )

    def _from_list(self, data: str, split: str) -> None:
        locations = list_shards(data, split)
        paths = self._fetch(data, locations)
        tables = read_tables([str(path) for path in paths], self._cache, image_key=self._access.image_key)
        self._tables = dict(enumerate(tables))
        self._shards = [
            Shard(location, path, len(table)) for location, path, table in zip(locations, paths, tables)
        ]
        self.classes = self._numbered_classes(data, split)
        names = [os.path.basename(location) for location in locations]
        notes = [*table_notes(names, tables), *self._classes_without_images(tables, split)]
        self.problems = tuple(at_most(notes))
        digest = hashlib.sha256()
        for name, shard in zip(names, self._shards):
            digest.update(os.fsencode(f"{name} {shard.samples} {shard.path.stat().st_size}\n"))
        self.manifest_hash = digest.hexdigest()

    def _classes_without_images(self, tables: Sequence[TarTable], split: str) -> List[str]:
        used = set(np.unique(np.concatenate([table.labels for table in tables])).tolist())
        unused = [name for name in range(len(self.classes)) if name not in used]
        if not unused:
            return []
        listed = ", ".join(map(str, unused[:5])) + (", ..." if len(unused) > 5 else "")
        return [f"{split}: no image has {counted(len(unused), 'label')} of {len(self.classes)} ({listed})"]

    def _numbered_classes(self, data: str, split: str) -> Tuple[str, ...]:
        """Numbers as names: as many as the training labels tell, for validation too. (Not where those shards
        are remote and not here: nobody wants them copied for this.)
        """
        highest = max(table.highest_label for table in self._tables.values())
        if split != "train":
            try:
                paths = [self._path_of(location) for location in list_shards(data, "train")]
            except ValueError:
                paths = []
            if paths and all(path.is_file() for path in paths):
                names = [str(path) for path in paths]
                tables = read_tables(names, self._cache, image_key=self._access.image_key)
                known = max(table.highest_label for table in tables)
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
                    check=check_tar,
                    patience_s=self._access.patience_s,
                    announcement=f"copying shard {number + 1} of {len(locations)}: {location} to {path}",
                )
            return path

        first = fetch(0)
        if is_remote(locations[0]):
            self._check_room(data, first.stat().st_size * len(locations))
        with ThreadPoolExecutor(_COPIES_AT_ONCE) as pool:
            return [first, *pool.map(fetch, range(1, len(locations)))]

    def _check_room(self, data: str, total_bytes: int) -> None:
        most_bytes = self._access.most_copied_bytes
        if most_bytes is not None and total_bytes > most_bytes:
            raise ValueError(
                f"data.cache_dir: not set; name a folder with room for copies of {data}, about "
                f"{total_bytes / 1e9:.0f} GB ({self._cache} takes {most_bytes / 1e9:.0f} GB unasked)"
            )

    def __len__(self) -> int:
        return int(self._starts[-1])

    def _place(self, index: int) -> Tuple[int, int]:
        """Number of the shard, and of the image within it."""
        shard = int(self._starts.searchsorted(index, side="right")) - 1
        return shard, index - int(self._starts[shard])

    def _table_of(self, number: int) -> TarTable:
        """The table of a shard; a remote one is copied first, and its labels are checked."""
        if number not in self._tables:
            shard = self._shards[number]
            if is_remote(shard.location) and not shard.path.is_file():
                copy_url(
                    shard.location,
                    shard.path,
                    expected=shard.expected,
                    check=check_tar,
                    patience_s=self._access.patience_s,
                )
            try:
                table = read_table(shard.path, self._access.image_key)
            except NoImagesError as error:
                raise UnreadableImageError(str(error)) from error
            self._check_labels(os.path.basename(shard.location), table)
            self._tables[number] = table
        return self._tables[number]

    def read(self, index: int) -> Tuple[bytes, int]:
        """Image ``index`` as bytes, and its label; UnreadableImageError where the shard does not hold it."""
        number, place = self._place(index)
        table, path = self._table_of(number), self._shards[number].path
        if place >= len(table):
            raise UnreadableImageError(f"{shown(path)}: holds {len(table)} images only")
        size = int(table.sizes[place])
        if size > MOST_IMAGE_BYTES:
            raise UnreadableImageError(f"{shown(path)}: an image of {size} bytes")
        try:
            with open(path, "rb", buffering=0) as file:
                file.seek(int(table.offsets[place]))
                return file.read(size), int(table.labels[place])
        except OSError as error:
            raise UnreadableImageError(f"{shown(path)}: {error.strerror}") from error

    def name(self, index: int) -> str:
        """Shard, and number of the image within it."""
        shard, place = self._place(index)
        return f"{os.path.basename(self._shards[shard].location)}[{place}]"


def check_tar(path: Path) -> None:
    """NoShardError for a copy that is no tar archive, OSError for one that ended early."""
    with open(path, "rb") as file:
        try:
            for member in walk(file.fileno()):
                if isinstance(member, Damage):
                    raise OSError(f"its copy is {member.problem}, at byte {member.offset}")
        except NoTarError as error:
            raise NoShardError(other_format(file.read(512)) or str(error)) from None


def _copy_name(shard: Mapping[str, Any]) -> str:
    """Name of a shard's copy: another one as soon as the index tells of another content."""
    known = json.dumps([shard["name"], shard.get("bytes"), shard.get("sha256")])
    return f"{hashlib.sha256(known.encode()).hexdigest()[:32]}.tar"


def _copy_notes(folder: Path, shards: Sequence[Mapping[str, Any]]) -> List[str]:
    """What to know of the copies in ``folder``: old ones that stay, and too little room for the new ones."""
    notes, wanted = [], {_copy_name(shard): shard.get("bytes") or 0 for shard in shards}
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
