"""The list of files of a data folder: made once, hashed, kept in a cache, small in memory.

A table of ImageNet's 1.28 million paths as Python strings would be copied into every worker process by
reference counting alone; here it is three arrays.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

import numpy as np

from ipu_app.files.arrays import load_arrays, store_arrays
from pipelines.door import kind_of, shown

from .litter import is_litter_file, is_litter_folder
from .notes import at_most
from .suffixes import is_image_name, suffix_of

MOST_DEPTH = 100  # folders inside each other
_FORMAT = 3  # of the cache file; another number makes old files be ignored
# How long a kept list may be compared with the files' sizes. Measured on a local disk, 100 000 files in 200
# folders: 0.6 s to list them, 0.4 s to compare them; so ImageNet's 1.28 million are all compared. Network
# storage that answers some thousand such questions a second would need 10 minutes at every start: there, as
# many as this allows, evenly spread.
COMPARE_S = 8.0
_STRIDE = 64  # files are compared in so many rounds, each of which visits every folder


@dataclass(frozen=True)
class FileTable:
    """Files of one folder. ``names``: paths below it, UTF-8, joined; ``ends``: where each one ends;
    ``places``: number of each one's class among those scanned; ``digest``: sha256 over paths and sizes in
    bytes.
    """

    names: np.ndarray
    ends: np.ndarray
    places: np.ndarray
    digest: str
    problems: Tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ends)

    def entry(self, index: int) -> Tuple[str, int]:
        """Path below the folder, and number of the class."""
        start = int(self.ends[index - 1]) if index else 0
        raw = self.names[start : int(self.ends[index])].tobytes()
        return raw.decode("utf-8", "surrogateescape"), int(self.places[index])


class _Seen(NamedTuple):
    """By what a later start can tell whether a table still holds: all folders scanned (paths, joined by NUL
    bytes) with their modification times in ns, and the files' sizes in bytes.
    """

    folders: np.ndarray
    times: np.ndarray
    sizes: np.ndarray


def default_cache_dir(environ: Mapping[str, str]) -> Path:
    """Where tables are kept: ``$XDG_CACHE_HOME/ipu_app``, else ``~/.cache/ipu_app``."""
    base = environ.get("XDG_CACHE_HOME") or os.path.join(environ.get("HOME", tempfile.gettempdir()), ".cache")
    return Path(base) / "ipu_app"


class _Walk:
    """Lists image files. ``notes``: what was left out; ``folders``: those read, with times of change;
    ``suffixes``: how many files are no images by their names.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._above = {_identity(os.stat(parent)) for parent in (folder, *folder.resolve().parents)}
        self.notes: List[str] = []
        self.folders: List[Tuple[str, int]] = []
        self.suffixes: Counter[str] = Counter()
        self.litter: Counter[str] = Counter()
        self.empty: List[str] = []

    def files(self, name: str) -> Iterator[Tuple[str, int]]:
        """Image files of a class with sizes, sorted, links followed, every directory once."""
        return self._below(name, set(self._above))

    def _below(self, relative: str, seen: Set[Tuple[int, int]]) -> Iterator[Tuple[str, int]]:
        status = os.stat(self._folder / relative)  # before the files are listed: a later change shows
        if _identity(status) in seen:
            self.notes.append(f"{relative}: left out, a link back to a folder already listed")
            return
        seen.add(_identity(status))
        self.folders.append((relative, status.st_mtime_ns))
        if relative.count("/") > MOST_DEPTH:
            self.notes.append(f"{relative}: left out, more than {MOST_DEPTH} folders inside each other")
            return
        with os.scandir(self._folder / relative) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            path = f"{relative}/{entry.name}"
            try:
                yield from self._entry(entry, path, seen)
            except OSError as error:  # a broken link, a link to itself, or no permission
                self.notes.append(f"{path}: left out, {error.strerror}")

    def _entry(self, entry: Any, path: str, seen: Set[Tuple[int, int]]) -> Iterator[Tuple[str, int]]:
        is_folder = entry.is_dir()
        if is_litter_folder(entry.name) if is_folder else is_litter_file(entry.name):
            name = f"{entry.name}/" if is_folder else "hidden and system files"
            self.litter[name] += images_below(entry.path) if is_folder else 1
        elif is_folder:
            yield from self._below(path, seen)
        elif not is_image_name(entry.name):
            self.suffixes[suffix_of(entry.name)] += 1
        else:
            yield from self._image(entry.stat(), path)

    def _image(self, status: os.stat_result, path: str) -> Iterator[Tuple[str, int]]:
        kind = kind_of(status.st_mode)
        if kind != "a file":
            self.notes.append(f"{path}: left out, {kind}")
        elif status.st_size == 0:
            self.empty.append(path)
        else:
            yield path, status.st_size

    def all_notes(self, where: str) -> List[str]:
        """What was left out, in lines: the counted first."""
        counted = []
        for kind, counter in (("other files", self.suffixes), ("copies or litter", self.litter)):
            total = sum(counter.values())
            if counter:
                listed = ", ".join(f"{shown(name)}: {number}" for name, number in counter.most_common(6))
                counted.append(f"{where}/: {total} {kind} left out ({listed})")
        if self.empty:
            first = ", ".join(self.empty[:3])
            counted.append(f"{where}/: {len(self.empty)} images of no bytes left out ({shown(first)})")
        return [*counted, *self.notes]


def images_below(folder: str, limit: int = 100_000) -> int:
    """How many files of a folder that is left out are named like images; counting ends at ``limit``."""
    count = 0
    for number, (_, _, files) in enumerate(os.walk(folder)):
        count += sum(map(is_image_name, files))
        if count > limit or number > limit:
            break
    return count


def _identity(status: os.stat_result) -> Tuple[int, int]:
    return status.st_dev, status.st_ino


def _raw(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def scan_classes(folder: Path, classes: Sequence[str]) -> FileTable:
    """Table of all image files of the class folders ``classes``, by class, then by path."""
    return _scan(folder, classes)[0]


def _scan(folder: Path, classes: Sequence[str]) -> Tuple[FileTable, _Seen]:
    digest, names, ends, places, sizes = hashlib.sha256(), bytearray(), [], [], []
    walk = _Walk(folder)
    for place, name in enumerate(classes):
        before = len(ends)
        for path, size in walk.files(name):
            raw = _raw(path)
            digest.update(raw + b"\0%d\n" % size)
            names += raw
            ends.append(len(names))
            places.append(place)
            sizes.append(size)
        if len(ends) == before:
            walk.notes.append(f"{folder.name}/{name}: class without images")
    table = FileTable(
        np.frombuffer(bytes(names), dtype=np.uint8),
        np.asarray(ends, dtype=np.int64),
        np.asarray(places, dtype=np.int32),
        digest.hexdigest(),
        tuple(at_most(walk.all_notes(folder.name))),
    )
    folders = b"\0".join(_raw(path) for path, _ in walk.folders)
    times = np.asarray([time for _, time in walk.folders], dtype=np.int64)
    seen = _Seen(np.frombuffer(folders, dtype=np.uint8), times, np.asarray(sizes, dtype=np.int64))
    return table, seen


def load_table(
    folder: Path,
    classes: Sequence[str],
    *,
    cache_dir: Optional[Path],
    compare_s: float = COMPARE_S,
    clock: Callable[[], float] = time.monotonic,
) -> FileTable:
    """The folder's table, from the cache where it is still valid, else scanned and put there.

    It is valid while no folder below, at any depth, has another modification time (nothing was added, removed
    or renamed) and no file has another size; sizes are compared for ``compare_s`` seconds at most, and where
    that was not enough for all, ``problems`` says so.
    """
    if cache_dir is None:
        return scan_classes(folder, classes)
    key = hashlib.sha256(json.dumps([_FORMAT, str(folder.resolve()), list(classes)]).encode()).hexdigest()
    cache_file = cache_dir / f"files-{key[:32]}.npz"
    stored = _stored_table(cache_file)
    compared = _compare(folder, stored, clock, clock() + compare_s) if stored is not None else None
    if stored is not None and compared is not None:
        notes = [str(note) for note in stored["problems"]]
        if compared < len(stored["ends"]):
            notes.append(
                f"{folder.name}/: within {compare_s:g} s, {compared} of {len(stored['ends'])} files could be "
                f"compared with the list kept in {cache_file}; delete that if others were overwritten"
            )
        return FileTable(
            stored["names"], stored["ends"], stored["places"], str(stored["digest"]), tuple(notes)
        )
    table, seen = _scan(folder, classes)
    store_arrays(
        cache_file,
        names=table.names,
        ends=table.ends,
        places=table.places,
        digest=np.asarray(table.digest),
        problems=np.asarray(table.problems, dtype=str),
        **seen._asdict(),
    )
    return table


def _stored_table(cache_file: Path) -> Optional[Dict[str, np.ndarray]]:
    """A table from the cache; None where its parts do not fit together."""
    names = ("names", "ends", "places", "digest", "problems", "folders", "times", "sizes")
    stored = load_arrays(cache_file, names)
    if stored is None:
        return None
    rows = len(stored["ends"]) if stored["ends"].ndim == 1 else -1
    kinds = {"names": "u", "ends": "i", "places": "i", "digest": "U", "problems": "U", "folders": "u"}
    kinds.update(times="i", sizes="i")
    fits = (
        all(stored[name].dtype.kind == kind for name, kind in kinds.items())
        and all(stored[name].ndim == 1 for name in kinds if name != "digest")
        and rows == len(stored["places"]) == len(stored["sizes"])
        and bool((np.diff(stored["ends"], prepend=0) > 0).all())
        and (not rows or int(stored["ends"][-1]) == len(stored["names"]))
        and bool((stored["places"] >= 0).all())
    )
    return stored if fits else None


def _compare(
    folder: Path, stored: Mapping[str, np.ndarray], clock: Callable[[], float], deadline: float
) -> Optional[int]:
    """How many files were found as they were when the table was made; None if anything has changed."""
    try:
        if not _folders_are_unchanged(folder, stored):
            return None
        return _compare_sizes(folder, stored, clock, deadline)
    except (OSError, ValueError):  # gone, or a folder no longer, or no path at all
        return None


def _folders_are_unchanged(folder: Path, stored: Mapping[str, np.ndarray]) -> bool:
    base = os.fsencode(folder) + b"/"
    names = stored["folders"].tobytes().split(b"\0") if len(stored["folders"]) else []
    return all(
        os.stat(base + name).st_mtime_ns == time for name, time in zip(names, stored["times"].tolist())
    )


def _compare_sizes(
    folder: Path, stored: Mapping[str, np.ndarray], clock: Callable[[], float], deadline: float
) -> Optional[int]:
    base, raw = os.fsencode(folder) + b"/", stored["names"].tobytes()
    bounds, sizes = [0, *stored["ends"].tolist()], stored["sizes"].tolist()
    compared = 0
    for first in range(_STRIDE):
        for index in range(first, len(sizes), _STRIDE):
            if compared % 64 == 0 and clock() > deadline:
                return compared
            if os.stat(base + raw[bounds[index] : bounds[index + 1]]).st_size != sizes[index]:
                return None
            compared += 1
    return compared
