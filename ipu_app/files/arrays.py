"""Archives of arrays (.npz) that this program keeps in its cache folder: a damaged one is as good as none."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Dict, Optional, Sequence

import numpy as np

from pipelines.door import read_bytes

MOST_BYTES = 4 << 30  # lists of ImageNet's 1.28 million files have 80 MB


def load_arrays(path: Path, names: Sequence[str]) -> Optional[Dict[str, np.ndarray]]:
    """Return the arrays ``names`` that `store_arrays` put into ``path``; None where they are not whole."""
    try:
        content = io.BytesIO(read_bytes(path, limit=MOST_BYTES))
        with zipfile.ZipFile(content) as archive:
            if any(part.file_size != part.compress_size for part in archive.infolist()):
                return None  # ours are not compressed
        content.seek(0)
        with np.load(content, allow_pickle=False) as stored:
            return {name: stored[name] for name in names}
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception:  # numpy and zipfile raise a dozen types on damaged files, and any of them means "none"
        return None


def store_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write an .npz file so that a reader never sees half of it; one that can not be written is left out."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    except OSError:
        return
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:  # most likely the disk is full
        with contextlib.suppress(OSError):
            os.unlink(temporary)
