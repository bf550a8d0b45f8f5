"""CIFAR-10 and CIFAR-100 in the form in which torchvision keeps them on disk: pickled batches of 32x32
images.

The files are read with a restricted unpickler, so that a downloaded archive can hold arrays, lists and
strings but no code.
"""

from __future__ import annotations

import hashlib
import io
import math
from pathlib import Path
from typing import Any, Dict, NamedTuple, Optional, Tuple

import numpy as np

from ipu_app.files.pickles import PlainUnpickler, load_pickle
from pipelines.door import BadFile, read_bytes, shown

from .source import Source

_SIDE = 32


class _Layout(NamedTuple):
    folder: str
    train: Tuple[str, ...]
    val: Tuple[str, ...]
    meta: str
    names_key: str
    labels_key: str


_LAYOUTS = (
    _Layout(
        folder="cifar-10-batches-py",
        train=tuple(f"data_batch_{number}" for number in range(1, 6)),
        val=("test_batch",),
        meta="batches.meta",
        names_key="label_names",
        labels_key="labels",
    ),
    _Layout(
        folder="cifar-100-python",
        train=("train",),
        val=("test",),
        meta="meta",
        names_key="fine_label_names",
        labels_key="fine_labels",
    ),
)
MOST_BYTES = 1 << 29  # of one file; CIFAR-100's largest has 155 MB


class _Array:
    """Stands for an array while its pickle is read: what NumPy's own ``__setstate__`` would be told."""

    value: Any = None

    def __setstate__(self, state: Any) -> None:
        """Take (version, shape, dtype, is_fortran, bytes) of an array of bytes; BadFile for others."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise BadFile("an array is not as NumPy writes it")
        _, shape, kind, is_fortran, content = state
        if isinstance(content, str):  # of Python 2, read as Latin-1
            content = content.encode("latin1")
        is_shape = isinstance(shape, tuple) and all(isinstance(size, int) and size >= 0 for size in shape)
        if not isinstance(kind, _Dtype) or not isinstance(content, bytes) or not is_shape or len(shape) > 4:
            raise BadFile("an array is not as NumPy writes it")
        if math.prod(shape) * kind.value.itemsize != len(content):
            raise BadFile(f"an array of {shape} has {len(content)} bytes")
        flat = np.frombuffer(content, dtype=kind.value)
        self.value = flat.reshape(shape, order="F" if is_fortran else "C")


class _Dtype:
    """Stands for an array's type; whole numbers only."""

    def __init__(self, name: Any, *_: Any) -> None:
        if name not in ("u1", "i1", "i4", "i8", "b1"):
            raise BadFile(f"arrays of {shown(name, 40)} are not taken")
        self.value = np.dtype(name)

    def __setstate__(self, _: Any) -> None:
        pass


def _encode(content: Any, encoding: Any = "latin1") -> bytes:
    """How Python 3 writes bytes in the protocol of Python 2."""
    if not isinstance(content, str) or encoding != "latin1":
        raise BadFile("bytes are not as Python writes them")
    return content.encode("latin1")


_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): lambda *_: _Array(),
    ("numpy._core.multiarray", "_reconstruct"): lambda *_: _Array(),
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
}


def find_cifar(root: Path) -> Optional[Tuple[Path, _Layout]]:
    """The folder with the batches, ``root`` or below it, and which of the two sets it is; None if neither."""
    for layout in _LAYOUTS:
        for folder in (root / layout.folder, root):
            if (folder / layout.meta).is_file() and (folder / layout.train[0]).is_file():
                return folder, layout
    return None


def _load(path: Path) -> Dict[str, Any]:
    try:
        content = read_bytes(path, limit=MOST_BYTES)
    except FileNotFoundError as error:
        raise ValueError(f"data.source={shown(path.parent)}: has no file {path.name}") from error
    except BadFile as error:
        raise BadFile(f"data.source={error}") from None
    unpickler = PlainUnpickler(io.BytesIO(content), _ALLOWED, encoding="latin1")
    try:
        found = load_pickle(unpickler, path.name)
    except BadFile as error:
        raise BadFile(f"data.source={path}: not a CIFAR file ({error})") from None
    if unpickler.strangers:
        names = ", ".join(sorted(unpickler.strangers)[:3])
        raise BadFile(f"data.source={path}: not a CIFAR file ({names} is not allowed in one)")
    if not isinstance(found, dict):
        raise BadFile(f"data.source={path}: not a CIFAR file")
    return {key: value.value if isinstance(value, _Array) else value for key, value in found.items()}


def _names(path: Path, key: str) -> Tuple[str, ...]:
    names = _load(path).get(key)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or not names:
        raise BadFile(f"data.source={path}: not a CIFAR file ({key} must be a list of names)")
    return tuple(names)


def _batch(path: Path, layout: _Layout, num_classes: int) -> Tuple[np.ndarray, np.ndarray]:
    """Pixels (N, 3072) uint8 and labels (N,) of one file."""
    found = _load(path)
    rows, labels = found.get("data"), found.get(layout.labels_key)
    row = 3 * _SIDE * _SIDE
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.shape[1] != row or rows.dtype != np.uint8:
        raise BadFile(f"data.source={path}: not a CIFAR file (data must be an array of bytes, N x {row})")
    if not isinstance(labels, list) or len(labels) != len(rows):
        raise BadFile(
            f"data.source={path}: not a CIFAR file ({layout.labels_key} must be {len(rows)} labels)"
        )
    for label in labels:
        if not isinstance(label, int) or isinstance(label, bool) or not 0 <= label < num_classes:
            problem = f"{shown(label, 40)} in {layout.labels_key} is no label of {num_classes} classes"
            raise BadFile(f"data.source={path}: not a CIFAR file ({problem})")
    return rows, np.asarray(labels, dtype=np.int64)


class CifarSource(Source):
    """One split of CIFAR-10 or CIFAR-100 (fine labels), as (32, 32, 3) uint8 pixels, all in memory."""

    small = True

    def __init__(self, folder: Path, layout: _Layout, split: str) -> None:
        self.classes = _names(folder / layout.meta, layout.names_key)
        files = [folder / name for name in (layout.train if split == "train" else layout.val)]
        batches = [_batch(file, layout, len(self.classes)) for file in files]
        rows = np.concatenate([pixels for pixels, _ in batches])
        self._labels = np.concatenate([labels for _, labels in batches])
        if not len(rows):
            raise BadFile(f"data.source={folder}: no images for {split}")
        self._images = np.ascontiguousarray(rows.reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1))
        self.kind = f"CIFAR-{len(self.classes)}"
        self.location = f"{folder}/{split}"
        self.manifest_hash = hashlib.sha256(rows.tobytes() + self._labels.tobytes()).hexdigest()

    def __len__(self) -> int:
        return len(self._labels)

    def read(self, index: int) -> Tuple[np.ndarray, int]:
        """Pixels (32, 32, 3) and label of image ``index``."""
        return self._images[index], int(self._labels[index])
