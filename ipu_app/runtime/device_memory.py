"""How much memory is free where torch trains, and whether a GPU computes in bfloat16."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Iterator, List, Optional

import torch

from ipu_app.errors import RunFailed

AMPERE = 8  # the first compute capability with bfloat16 in hardware (NVIDIA's CUDA programming guide)
# folder, (limit, in use), name of the reclaimable file cache: a container's memory by cgroup 2, then 1
CONTAINERS = (
    ("sys/fs/cgroup", ("memory.max", "memory.current"), "inactive_file"),
    (
        "sys/fs/cgroup/memory",
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        "total_inactive_file",
    ),
)
UNKNOWN_BYTES = 16e9  # assumed on hosts that do not say


def has_bfloat16() -> bool:
    """Tell whether the current GPU computes in bfloat16 itself; torch also counts those that emulate it."""
    return torch.cuda.is_bf16_supported() and torch.cuda.get_device_capability()[0] >= AMPERE


@contextlib.contextmanager
def explained_memory(setting: str) -> Iterator[None]:
    """Tell of memory that does not suffice in one line that names the setting to lower."""
    try:
        yield
    except RuntimeError as error:
        said = " ".join(str(error).split())
        if "out of memory" not in said and "can't allocate memory" not in said:
            raise
        raise RunFailed(
            f"out of memory: less of phases.NAME.{setting} needs less; torch says: {said:.200}"
        ) from error


def settle_autocast(autocast: str, device: str) -> str:
    """Return what ``auto`` means on this device: bfloat16 on GPUs that have it in hardware, else off."""
    if autocast != "auto":
        return autocast
    return "bfloat16" if device == "cuda" and has_bfloat16() else "off"


def free_memory_bytes(device: str, root: Path = Path("/")) -> float:
    """Return the free memory of the current GPU, or of the host as far as this container may use it."""
    if device == "cuda":
        return float(torch.cuda.mem_get_info()[0])
    found = [value for value in (_available_bytes(root), *_container_bytes(root)) if value is not None]
    return min(found, default=UNKNOWN_BYTES)


def _available_bytes(root: Path) -> Optional[float]:
    kilobytes = _entry(root / "proc/meminfo", "MemAvailable:")
    return None if kilobytes is None else kilobytes * 1024


def _container_bytes(root: Path) -> List[float]:
    found = []
    for folder, files, cache in CONTAINERS:
        limit, used = (_read(root / folder / file).strip() for file in files)
        if limit.isdigit() and used.isdigit():  # "max": no limit
            reclaimable = _entry(root / folder / "memory.stat", cache) or 0.0
            found.append(max(0.0, float(limit) - float(used) + reclaimable))
    return found


def _entry(file: Path, name: str) -> Optional[float]:
    """Return the number behind a name in one of the kernel's tables."""
    rows = (line.split() for line in _read(file).splitlines())
    return next((float(row[1]) for row in rows if len(row) > 1 and row[0] == name), None)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError:
        return ""
