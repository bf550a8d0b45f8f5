"""CIFAR-10 and CIFAR-100 in the form in which torchvision keeps them on disk: pickled batches of 32x32
images.

The files are read with a restricted unpickler, so that a downloaded archive can hold arrays, lists and
strings but no code.
"""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any, Dict, NamedTuple, Optional, Tuple

import numpy as np

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
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Nothing but what an array needs."""
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a CIFAR file")
        return super().find_class(module, name)


def find_cifar(root: Path) -> Optional[Tuple[Path, _Layout]]:
    """The folder with the batches, ``root`` or below it, and which of the two sets it is; None if neither."""
    for layout in _LAYOUTS:
        for folder in (root / layout.folder, root):
            if (folder / layout.meta).is_file() and (folder / layout.train[0]).is_file():
                return folder, layout
    return None


def _load(path: Path) -> Dict[str, Any]:
    try:
        with open(path, "rb") as file:
            content = _ArraysOnly(file, encoding="latin1").load()
    except FileNotFoundError as error:
        raise ValueError(f"data.source={path.parent}: has no file {path.name}") from error
    except (pickle.UnpicklingError, EOFError, AttributeError, ValueError, IndexError, KeyError) as error:
        raise ValueError(f"data.source={path}: not a CIFAR file ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"data.source={path}: not a CIFAR file")
    return content


class CifarSource(Source):
    """One split of CIFAR-10 or CIFAR-100 (fine labels), as (32, 32, 3) uint8 pixels, all in memory."""

    small = True

    def __init__(self, folder: Path, layout: _Layout, split: str) -> None:
        self.classes = tuple(_load(folder / layout.meta)[layout.names_key])
        batches = [_load(folder / name) for name in (layout.train if split == "train" else layout.val)]
        rows = np.concatenate([np.asarray(batch["data"], dtype=np.uint8) for batch in batches])
        self._labels = np.concatenate([np.asarray(batch[layout.labels_key]) for batch in batches])
        self._images = np.ascontiguousarray(rows.reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1))
        self.kind = f"CIFAR-{len(self.classes)}"
        self.location = f"{folder}/{split}"
        self.manifest_hash = hashlib.sha256(rows.tobytes() + self._labels.tobytes()).hexdigest()

    def __len__(self) -> int:
        return len(self._labels)

    def read(self, index: int) -> Tuple[np.ndarray, int]:
        """Pixels (32, 32, 3) and label of image ``index``."""
        return self._images[index], int(self._labels[index])
