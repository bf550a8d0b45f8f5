"""The list of files of a data folder: made once, hashed, kept in a cache, small in memory.

A table of ImageNet's 1.28 million paths as Python strings would be copied into every worker process by
reference counting alone; here it is three arrays.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

import numpy as np

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff", ".gif")
_MOST_NOTES = 20
_FORMAT = 1  # of the cache file; another number makes old files be ignored


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


Scan = Callable[[Path, Sequence[str]], FileTable]


def default_cache_dir(environ: Mapping[str, str]) -> Path:
    """Where tables are kept: ``$XDG_CACHE_HOME/ipu_app``, else ``~/.cache/ipu_app``."""
    base = environ.get("XDG_CACHE_HOME") or os.path.join(environ.get("HOME", tempfile.gettempdir()), ".cache")
    return Path(base) / "ipu_app"


def _identity(folder: Path) -> Tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _walk(
    folder: Path, relative: str, seen: Set[Tuple[int, int]], notes: List[str]
) -> Iterator[Tuple[str, int]]:
    """Image files below ``folder/relative`` with sizes, sorted, links followed, every directory once."""
    identity = _identity(folder / relative)
    if identity in seen:
        notes.append(f"{relative}: left out, a link back to a folder already listed")
        return
    seen.add(identity)
    with os.scandir(folder / relative) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        path = f"{relative}/{entry.name}"
        try:
            if entry.is_dir():
                yield from _walk(folder, path, seen, notes)
            elif entry.name.lower().endswith(IMAGE_SUFFIXES):
                yield path, entry.stat().st_size
        except OSError as error:  # a broken link, a link to itself, or no permission
            notes.append(f"{path}: left out, {error.strerror}")


def scan_classes(folder: Path, classes: Sequence[str]) -> FileTable:
    """Table of all image files of the class folders ``classes``, by class, then by path."""
    digest, names, ends, places = hashlib.sha256(), bytearray(), [], []
    above = {_identity(parent) for parent in (folder, *folder.resolve().parents)}
    notes: List[str] = []
    for place, name in enumerate(classes):
        before = len(ends)
        for path, size in _walk(folder, name, set(above), notes):
            raw = path.encode("utf-8", "surrogateescape")
            digest.update(raw + b"\0%d\n" % size)
            names += raw
            ends.append(len(names))
            places.append(place)
        if len(ends) == before:
            notes.append(f"{folder.name}/{name}: class without images")
    return FileTable(
        np.frombuffer(bytes(names), dtype=np.uint8),
        np.asarray(ends, dtype=np.int64),
        np.asarray(places, dtype=np.int32),
        digest.hexdigest(),
        _at_most(notes, _MOST_NOTES),
    )


def _at_most(notes: List[str], limit: int) -> Tuple[str, ...]:
    """The first ``limit`` notes, and how many more there are."""
    more = len(notes) - limit
    return (*notes[:limit], f"and {more} more folders or files like these") if more > 0 else tuple(notes)


def _fingerprint(folder: Path, classes: Sequence[str]) -> str:
    """Changes when a file is added to, or taken from, a class folder. (Not those nested deeper.)"""
    state = [[name, os.stat(folder / name).st_mtime_ns] for name in classes]
    return hashlib.sha256(json.dumps([_FORMAT, str(folder.resolve()), state]).encode()).hexdigest()


def load_table(folder: Path, classes: Sequence[str], *, cache_dir: Optional[Path], scan: Scan) -> FileTable:
    """The folder's table, from the cache where it is still valid, else scanned and put there."""
    if cache_dir is None:
        return scan(folder, classes)
    cache_file = cache_dir / f"files-{_fingerprint(folder, classes)[:32]}.npz"
    stored = load_arrays(cache_file)
    if stored is not None:
        notes = tuple(str(note) for note in stored["problems"])
        return FileTable(stored["names"], stored["ends"], stored["places"], str(stored["digest"]), notes)
    table = scan(folder, classes)
    store_arrays(
        cache_file,
        names=table.names,
        ends=table.ends,
        places=table.places,
        digest=np.asarray(table.digest),
        problems=np.asarray(table.problems, dtype=str),
    )
    return table


def load_arrays(path: Path) -> Optional[Dict[str, np.ndarray]]:
    """What `store_arrays` put into ``path``; None where there is no such file, or a damaged one."""
    try:
        with np.load(path) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, zipfile.BadZipFile):
        return None


def store_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Writes an .npz file so that a reader never sees half of it; a cache that can not be written is left
    out.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    except OSError:
        return
    with os.fdopen(handle, "wb") as file:
        np.savez(file, **arrays)
    os.replace(temporary, path)
