"""Where the images lie inside tar shards.

The headers are read once; after that any image is one seek and one read, so a shard is as random-access as a
folder. Tables are kept in the cache folder.
"""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from ipu_app.files.arrays import load_arrays, store_arrays
from pipelines.door import BadFile, open_plain, shown
from pipelines.words import counted

from .tar_samples import EXPECTED, REASONS, Samples
from .tar_walk import Damage, NoTarError, other_format, walk

_FORMAT = 2  # of the cache file; another number makes old files be ignored
_READ_AT_ONCE = 4
_COLUMNS = ("offsets", "sizes", "labels")


class NoImagesError(BadFile):
    """A shard without an image to use: it is no tar archive, damaged from the start, or holds others."""


@dataclass(frozen=True)
class TarTable:
    """Images of one shard in the order in which they lie there: offsets and sizes in bytes, labels; all
    int64.

    ``left_out``: numbers, in the order of ``REASONS``, and ``examples`` of them; ``repeated``: keys that are
    there several times; ``damage``: how the archive ended, if not well; ``unreadable``: why it has no images.
    """

    offsets: np.ndarray
    sizes: np.ndarray
    labels: np.ndarray
    left_out: Tuple[int, ...] = (0,) * len(REASONS)
    examples: Tuple[str, ...] = ("",) * len(REASONS)
    repeated: int = 0
    damage: str = ""
    unreadable: str = field(default="")

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def highest_label(self) -> int:
        """The highest label; -1 where there is no image."""
        return int(self.labels.max()) if len(self.labels) else -1


def read_table(path: Path, image_key: Optional[str] = None) -> TarTable:
    """Table of the shard ``path``; NoImagesError for what is no tar file or holds no labelled image, BadFile
    where labels are no numbers or samples have several images.
    """
    where = f"data.source={shown(path)}"
    try:
        descriptor = open_plain(path)
    except (OSError, BadFile) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise NoImagesError(f"{where}: not a readable tar shard ({why})") from None
    try:
        return _read(descriptor, image_key)
    except NoTarError as error:
        why = other_format(os.pread(descriptor, 512, 0)) or str(error)
        raise NoImagesError(f"{where}: not a readable tar shard ({why})") from None
    except BadFile as error:
        raise type(error)(f"{where}: {error}") from None
    except OSError as error:
        raise NoImagesError(f"{where}: not a readable tar shard ({error.strerror})") from None
    finally:
        os.close(descriptor)


def _read(descriptor: int, image_key: Optional[str]) -> TarTable:
    samples, damage = Samples(lambda offset, size: os.pread(descriptor, size, offset), image_key), ""
    for member in walk(descriptor):
        if isinstance(member, Damage):
            damage = f"{member.problem}, at byte {member.offset}"
        else:
            samples.add(member)
    found = samples.found()
    if not found.rows:
        if damage:
            raise NoImagesError(f"not a readable tar shard ({damage})")
        raise NoImagesError(f"no images with labels; {_what_is_there(samples)}; {EXPECTED}")
    offsets, sizes, labels = (np.asarray(column, dtype=np.int64) for column in zip(*found.rows))
    counts = tuple(found.left_out.get(reason, 0) for reason in REASONS)
    examples = tuple(found.examples.get(reason, "") for reason in REASONS)
    return TarTable(offsets, sizes, labels, counts, examples, found.repeated, damage)


def _what_is_there(samples: Samples) -> str:
    kinds = [f"{count} .{shown(suffix, 40)}" for suffix, count in samples.suffixes.most_common(4)]
    names = [name for name, _ in samples.json_names.most_common(6)]
    keys = f" (with {', '.join(names)})" if names else ""
    return f"found {', '.join(kinds) or 'no files'}{keys}"


def read_tables(
    paths: Sequence[str],
    cache_dir: Optional[Path],
    *,
    image_key: Optional[str] = None,
    refuse_damaged: bool = True,
) -> List[TarTable]:
    """Tables of several shards, from the cache while none of the files has changed.

    A shard without a readable image is refused, or with ``refuse_damaged=False`` a table without images that
    says why.
    """
    state = [[os.path.abspath(path), *_state_of(path)] for path in paths]
    facts = json.dumps([_FORMAT, image_key, state])
    key = hashlib.sha256(facts.encode()).hexdigest()[:32]
    cache_file = cache_dir / f"tars-{key}.npz" if cache_dir is not None else None
    stored = _from_arrays(cache_file, len(paths)) if cache_file else None
    if stored is not None:
        return stored

    def read(path: str) -> TarTable:
        try:
            return read_table(Path(path), image_key)
        except NoImagesError as error:
            if refuse_damaged:
                raise
            nothing = np.zeros(0, dtype=np.int64)
            return TarTable(nothing, nothing, nothing, unreadable=str(error))

    with ThreadPoolExecutor(_READ_AT_ONCE) as pool:
        tables = list(pool.map(read, paths))
    if cache_file and not any(table.unreadable for table in tables):
        store_arrays(cache_file, **_to_arrays(tables))
    return tables


def _state_of(path: str) -> Tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns


def _to_arrays(tables: Sequence[TarTable]) -> Dict[str, np.ndarray]:
    columns = {name: np.concatenate([getattr(table, name) for table in tables]) for name in _COLUMNS}
    return {
        **columns,
        "ends": np.cumsum([len(table) for table in tables]),
        "left_out": np.asarray([table.left_out for table in tables], dtype=np.int64),
        "examples": np.asarray([table.examples for table in tables], dtype=str),
        "repeated": np.asarray([table.repeated for table in tables], dtype=np.int64),
        "damage": np.asarray([table.damage for table in tables], dtype=str),
    }


def _from_arrays(cache_file: Path, number: int) -> Optional[List[TarTable]]:
    names = (*_COLUMNS, "ends", "left_out", "examples", "repeated", "damage")
    stored = load_arrays(cache_file, names)
    if stored is None or not _is_whole(stored, number):
        return None
    cuts = stored["ends"][:-1]
    columns = zip(*(np.split(stored[name], cuts) for name in _COLUMNS))
    return [
        TarTable(
            *rows,
            tuple(stored["left_out"][place].tolist()),
            tuple(stored["examples"][place].tolist()),
            int(stored["repeated"][place]),
            str(stored["damage"][place]),
        )
        for place, rows in enumerate(columns)
    ]


def _is_whole(stored: Dict[str, np.ndarray], number: int) -> bool:
    """Whether arrays from the cache fit together."""
    ends, shapes = stored["ends"], {stored[name].shape for name in _COLUMNS}
    reasons = (number, len(REASONS))
    return (
        all(stored[name].shape == (number,) for name in ("ends", "repeated", "damage"))
        and stored["left_out"].shape == stored["examples"].shape == reasons
        and all(stored[name].dtype == np.int64 for name in (*_COLUMNS, "ends", "left_out", "repeated"))
        and all(stored[name].dtype.kind == "U" for name in ("examples", "damage"))
        and bool((np.diff(ends, prepend=0) >= 0).all())
        and shapes == {(int(ends[-1]),)}
        and bool((stored["labels"] >= 0).all())
    )


def table_notes(names: Sequence[str], tables: Sequence[TarTable]) -> List[str]:
    """What of several shards is not used, a line for each reason, and which are damaged."""
    notes = []
    for place, (reason, words) in enumerate(REASONS.items()):
        total = sum(table.left_out[place] for table in tables)
        if total:
            shard = next(index for index, table in enumerate(tables) if table.left_out[place])
            what = words if reason in ("no image", "hidden", "linked") else f"images {words}"
            example = f"for instance {names[shard]}: {tables[shard].examples[place]}"
            notes.append(f"{total} {what} left out of {counted(len(tables), 'shard')}, {example}")
    repeated = sum(table.repeated for table in tables)
    if repeated:
        notes.append(f"{repeated} keys are repeated in a shard: each is taken as a sample of its own")
    for name, table in zip(names, tables):
        if table.damage:
            notes.append(f"{name}: {table.damage}; images after it are missing")
        if table.unreadable:
            notes.append(table.unreadable)
    return notes
