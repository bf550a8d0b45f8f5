"""Folders of finished runs as an earlier version left them, with made-up weights in place of their own.

The text of each run is what that version wrote. Of its tensors ``tensors.json.gz`` keeps names, types and
shapes (tests/golden/runs/README.md); their values follow from the names alone.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import torch
from safetensors.torch import save_file

FOLDER = Path(__file__).resolve().parents[1] / "golden" / "runs"
TEXTS = ("config.yaml", "model.json", "metrics.jsonl", "summary.json")


def unpack(name: str, target: Path) -> Path:
    """Make the old run ``name`` in the folder ``target`` as its version would have; return its folder."""
    source, run = FOLDER / name, target / name
    described: Dict[str, Dict[str, List[Any]]] = json.loads(
        gzip.decompress((source / "tensors.json.gz").read_bytes())
    )
    checkpoint = run / "checkpoints" / "epoch-0002"
    checkpoint.mkdir(parents=True)
    for text in TEXTS:
        (run / text).write_bytes((source / text).read_bytes())
    (checkpoint / "state.json").write_bytes(gzip.decompress((source / "state.json.gz").read_bytes()))
    for file, tensors in described.items():
        save_file({key: _tensor(key, *facts) for key, facts in tensors.items()}, str(checkpoint / file))
    return run


def _tensor(name: str, kind: str, shape: List[int], value: Any = None) -> torch.Tensor:
    if name.endswith("/random"):
        return torch.Generator().manual_seed(0).get_state()
    if value is not None:  # of a single number
        return torch.tensor(value, dtype=getattr(torch, kind))
    weight = name[name.find("blocks.") :]
    found = np.random.default_rng(zlib.crc32(weight.encode())).integers(-127, 128, shape) / 127
    if "square_avg" in name or "Accl1___" in name:
        found = 0.01 + 0.01 * np.abs(found)
    elif "momentum_buffer" in name or "Accl2___" in name:
        found = 0.001 * found
    elif len(shape) > 1:
        found = found * math.sqrt(3 / math.prod(shape[1:]))
    else:
        found = 0.1 * found + float(weight.endswith((".weight", "gamma")))
    return torch.from_numpy(np.ascontiguousarray(found)).to(getattr(torch, kind))
