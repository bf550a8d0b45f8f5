"""Layer tables on disk, so that a plan for a model that was traced before needs no torch.

A file is named after a digest of everything that the table depends on, so it is never out of date; it is
written to a file of its own and renamed, so that processes may share the folder; one that cannot be read is
as good as none.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any, Iterable, Mapping, Optional

from pipelines.cost.layers import LayerSpec, LayerTable
from pipelines.door import read_json

FORMAT = 1


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of this user's layer tables (``XDG_CACHE_HOME``, else ``~/.cache``)."""
    base = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME") or Path.home()) / ".cache")
    return Path(base) / "ipu_app" / "layer_tables"


def table_key(facts: Mapping[str, Any], sources: Iterable[Path]) -> str:
    """Return the digest of a model's facts (plain data) and of the source files that turn them into a
    table.
    """
    digest = hashlib.sha256(json.dumps([FORMAT, facts], sort_keys=True).encode())
    for path in sorted(sources):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:32]


def read_table(folder: Path, key: str) -> Optional[LayerTable]:
    """Return the cached table, or None where there is none that can be read whole."""
    try:
        stored = read_json(folder / f"{key}.json")
        if stored["digest"] != _digest(stored["layers"]):
            return None
        return tuple(LayerSpec.from_dict(row) for row in stored["layers"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_table(folder: Path, key: str, table: LayerTable) -> bool:
    """Store a table for other processes and later calls; return whether the folder could be written."""
    rows = [layer.to_dict() for layer in table]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=str(folder), suffix=".part")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"digest": _digest(rows), "layers": rows}, file)
        os.replace(name, str(folder / f"{key}.json"))
    except OSError:
        return False
    return True


def _digest(rows: Any) -> str:
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()
