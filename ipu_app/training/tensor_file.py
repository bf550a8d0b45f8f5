"""safetensors files written piece by piece, so that a full disk is an OSError and the digest costs nothing.

The format (https://github.com/huggingface/safetensors): 8 bytes, the header's length; a JSON header with
each tensor's type, shape and place; the tensors' bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import torch
from torch import Tensor

NAMES: Dict[torch.dtype, str] = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_PIECE_BYTES = 1 << 24


def write_tensors(tensors: Dict[str, Tensor], path: Path) -> Dict[str, Any]:
    """Write a safetensors file and wait until it is on the disk; return its ``bytes`` and ``sha256``."""
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as file:
        for piece in _pieces(tensors):
            file.write(piece)
            digest.update(piece)
            size += len(piece)
        file.flush()
        os.fsync(file.fileno())
    return {"bytes": size, "sha256": digest.hexdigest()}


def _pieces(tensors: Dict[str, Tensor]) -> Iterator[bytes]:
    """The widest types first, which keeps every tensor at a multiple of its element's size."""
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))
    yield _header(ordered)
    for _, tensor in ordered:
        flat = tensor.detach().to("cpu").contiguous().reshape(-1).view(torch.uint8).numpy()
        view = memoryview(flat)
        for start in range(0, len(view), _PIECE_BYTES):
            yield view[start : start + _PIECE_BYTES]  # type: ignore[misc]


def _header(ordered: List[Tuple[str, Tensor]]) -> bytes:
    described: Dict[str, Any] = {}
    offset = 0
    for name, tensor in ordered:
        end = offset + tensor.numel() * tensor.element_size()
        if tensor.dtype not in NAMES:
            raise TypeError(f"{name}: tensors of type {tensor.dtype} are not kept in safetensors files")
        described[name] = {
            "dtype": NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(described, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text
