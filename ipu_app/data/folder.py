"""Images in torchvision's ImageFolder layout: ``DATA/train/<class>/**/*.jpg`` and ``DATA/val/<class>/**``.

The class list is the sorted list of the directories in ``train/``; a label is a place in it. What is odd
about the tree (empty classes, classes only in ``val/``, loops of links) is reported in ``problems``, not
raised.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import List, Optional, Tuple

from pipelines.words import counted

from .manifest import FileTable, load_table
from .source import Source, UnreadableImageError

LAYOUT = "train/<class>/*.jpg and val/<class>/*.jpg (or CIFAR's folder, or tar shards)"


def class_names(folder: Path) -> Tuple[str, ...]:
    """Sorted names of the directories in ``folder`` (links to directories included, hidden ones not)."""
    with os.scandir(folder) as entries:
        return tuple(sorted(e.name for e in entries if e.is_dir() and not e.name.startswith(".")))


def _check(root: Path, split: str) -> Path:
    """The split's folder; ValueError with what is expected where it is missing."""
    if not root.is_dir():
        problem = "not a folder" if root.exists() else "no such folder"
        raise ValueError(f"data.source={root}: {problem}; expected one with {LAYOUT}")
    folder = root / split
    if not folder.is_dir():
        raise ValueError(f"data.source={root}: has no folder {split}/; expected {LAYOUT}")
    return folder


class FolderSource(Source):
    """One split of an ImageFolder tree, as encoded bytes.

    ``cache_dir`` keeps the file table between runs; see ``load_table`` for when it is used again.
    """

    kind = "ImageFolder"

    def __init__(self, root: Path, split: str, *, cache_dir: Optional[Path] = None) -> None:
        folder = _check(root, split)
        reference = root / "train" if (root / "train").is_dir() else folder
        self.classes = class_names(reference)
        if not self.classes:
            raise ValueError(f"data.source={root}: {reference.name}/ has no class folders; expected {LAYOUT}")
        present = class_names(folder)
        wanted = tuple(sorted(set(self.classes) & set(present)))
        self._folder = folder
        self._table: FileTable = load_table(folder, wanted, cache_dir=cache_dir)
        # the table numbers the classes that are present here; labels are places in the list of all of them
        places = {name: place for place, name in enumerate(self.classes)}
        self._label_of = [places[name] for name in wanted]
        self.location = str(folder)
        self.manifest_hash = self._table.digest
        self.problems = self._table.problems + self._differences(present, split)
        if present and not wanted:
            raise ValueError(
                f"data.source={root}: {split}/ has {_shorten(list(present))}, and none of them is in train/"
            )
        if not len(self._table):
            raise ValueError(f"data.source={root}: no images below {split}/; expected {LAYOUT}")

    def _differences(self, present: Tuple[str, ...], split: str) -> Tuple[str, ...]:
        """How this split's class folders differ from the class list."""
        notes: List[str] = []
        unknown = sorted(set(present) - set(self.classes))
        missing = sorted(set(self.classes) - set(present))
        if unknown:
            notes.append(f"{split}/: left out, not in train/: {_shorten(unknown)}")
        if missing:
            notes.append(f"{split}/: has no folder for {_shorten(missing)}")
        return tuple(notes)

    def __len__(self) -> int:
        return len(self._table)

    def read(self, index: int) -> Tuple[bytes, int]:
        """File ``index`` as bytes, and its label; UnreadableImageError where it can not be read."""
        path, place = self._table.entry(index)
        try:
            return _read_file(f"{self.location}/{path}"), self._label_of[place]
        except OSError as error:
            raise UnreadableImageError(f"{path}: {error.strerror}") from error

    def name(self, index: int) -> str:
        """Path of file ``index`` below the data folder."""
        return f"{self._folder.name}/{self._table.entry(index)[0]}"


def _read_file(path: str) -> bytes:
    """All of a file, by three system calls: a file object costs as much again."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.read(descriptor, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


def _shorten(names: List[str], limit: int = 5) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"{counted(len(names), 'class')}: " + ", ".join(names[:limit]) + more
