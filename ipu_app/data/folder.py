"""Images in torchvision's ImageFolder layout: ``DATA/train/<class>/**/*.jpg`` and ``DATA/val/<class>/**``.

The class list is the sorted list of the directories in ``train/``; a label is a place in it. What is odd
about the tree (empty classes, classes only in ``val/``, loops of links) is reported in ``problems``, not
raised.
"""

from __future__ import annotations

import itertools
import os
import stat
from collections import Counter
from pathlib import Path
from typing import List, Optional, Tuple

import numpy as np

from pipelines.door import kind_of, shown
from pipelines.words import counted

from .litter import is_litter_folder
from .manifest import FileTable, images_below, load_table
from .notes import at_most
from .source import MOST_IMAGE_BYTES, Source, UnreadableImageError
from .suffixes import is_image_name, suffix_of

_MOST_ENTRIES = 1_000_000  # of a folder, where it is only described
LAYOUT = "train/<class>/*.jpg and val/<class>/*.jpg (or CIFAR's folder, or tar shards)"


def class_names(folder: Path) -> Tuple[str, ...]:
    """Sorted names of the directories in ``folder`` (links to directories included; hidden ones and what
    other programs leave are not).
    """
    with os.scandir(folder) as entries:
        return tuple(sorted(e.name for e in entries if e.is_dir() and not is_litter_folder(e.name)))


def _check(root: Path, split: str) -> Path:
    """The split's folder; ValueError with what is expected, and what was found, where it is missing."""
    if not root.is_dir():
        problem = (
            f"must be a folder, and is {kind_of(root.stat().st_mode)}" if root.exists() else "no such folder"
        )
        raise ValueError(f"data.source={shown(root)}: {problem}; expected one with {LAYOUT}")
    folder = root / split
    if not folder.is_dir():
        raise ValueError(
            f"data.source={shown(root)}: has no folder {split}/; it has {contents(root)}; expected {LAYOUT}"
        )
    return folder


def contents(folder: Path) -> str:
    """What lies in a folder, in a few words: folders by name, files by kind."""
    folders: List[str] = []
    files: Counter[str] = Counter()
    with os.scandir(folder) as entries:
        for entry in itertools.islice(entries, _MOST_ENTRIES):
            if entry.is_dir():
                folders.append(entry.name)
            else:
                files[suffix_of(entry.name)] += 1
    listed = [f"{shown(name, 80)}/" for name in sorted(folders)[:5]]
    listed += [f"{len(folders) - 5} more folders"] if len(folders) > 5 else []
    listed += [f"{counted(number, 'file')} ({suffix})" for suffix, number in files.most_common(4)]
    return ", ".join(listed) or "nothing"


class FolderSource(Source):
    """One split of an ImageFolder tree, as encoded bytes.

    ``cache_dir`` keeps the file table between runs; see ``load_table`` for when it is used again.
    """

    kind = "ImageFolder"

    def __init__(self, root: Path, split: str, *, cache_dir: Optional[Path] = None) -> None:
        folder = _check(root, split)
        reference = root / "train" if (root / "train").is_dir() else folder
        self.classes = class_names(reference)
        present = class_names(folder)
        for place, names in ((reference, self.classes), (folder, present)):
            if not names:
                problem = f"{place.name}/ has no class folders; it has {contents(place)}"
                raise ValueError(f"data.source={shown(root)}: {problem}; expected {LAYOUT}")
        wanted = tuple(sorted(set(self.classes) & set(present)))
        self._folder = folder
        self._table: FileTable = load_table(folder, wanted, cache_dir=cache_dir)
        # the table numbers the classes that are present here; labels are places in the list of all of them
        places = {name: place for place, name in enumerate(self.classes)}
        self._label_of = [places[name] for name in wanted]
        self.location = str(folder)
        self.manifest_hash = self._table.digest
        beside = _beside_classes(folder)
        self.problems = (*self._table.problems, *self._differences(present, split), *beside)
        if present and not wanted:
            raise ValueError(
                f"data.source={root}: {split}/ has {_shorten(list(present))}, and none of them is in train/"
            )
        if not len(self._table):
            found = "; ".join(self.problems[:3]) or "nothing else"
            raise ValueError(
                f"data.source={shown(root)}: no images below {split}/; found {found}; expected {LAYOUT}"
            )

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
            raise UnreadableImageError(f"{shown(path)}: {error.strerror}") from error

    def labels(self) -> np.ndarray:
        """Labels of all images."""
        return np.asarray(self._label_of, dtype=np.int64)[self._table.places]

    def name(self, index: int) -> str:
        """Path of file ``index`` below the data folder."""
        return shown(f"{self._folder.name}/{self._table.entry(index)[0]}")


def _read_file(path: str) -> bytes:
    """All of a regular file, by three system calls: a file object costs as much again."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a named pipe would be waited for
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_IMAGE_BYTES:
            kind = kind_of(status.st_mode)
            raise UnreadableImageError(f"{shown(path)}: {kind} of {status.st_size} bytes")
        return os.read(descriptor, status.st_size)
    finally:
        os.close(descriptor)


def _beside_classes(folder: Path) -> List[str]:
    """What lies beside the class folders, and belongs to no class."""
    images, hidden = 0, []
    with os.scandir(folder) as entries:
        for entry in itertools.islice(entries, _MOST_ENTRIES):
            if entry.is_dir():
                if is_litter_folder(entry.name):
                    hidden.append(f"{entry.name}/ ({counted(images_below(entry.path), 'image')})")
            elif is_image_name(entry.name):
                images += 1
    notes = (
        [f"{folder.name}/: {counted(images, 'image')} beside the class folders left out"] if images else []
    )
    notes += [f"{folder.name}/: left out, no classes: {', '.join(sorted(hidden)[:5])}"] if hidden else []
    return at_most(notes)


def _shorten(names: List[str], limit: int = 5) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"{counted(len(names), 'class')}: " + ", ".join(shown(name, 80) for name in names[:limit]) + more
