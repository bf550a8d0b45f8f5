"""The IPUs that the simulated host has: executors acquire and release them, and fail as on hardware when
none is left.
"""

from __future__ import annotations

import gc
from typing import Dict, List

from .._errors import cpp_error

#: IPUs that one process can drive [PopTorch: "Too many IPUs requested"]
MAX_IPUS_PER_PROCESS = 64
_capacity: List[int] = [MAX_IPUS_PER_PROCESS]
_held: Dict[int, int] = {}


def set_capacity(num_ipus: int) -> None:
    """How many IPUs this process's executors share; 64 unless told."""
    _capacity[:] = [num_ipus]


def acquire(owner: int, num_ipus: int) -> None:
    """Attach an executor to IPUs; Error if too few are free."""
    if num_ipus > _free():
        gc.collect()  # executors that nobody can reach any more still hold theirs
    free = _free()
    if num_ipus > free:
        raise cpp_error(
            f"Failed to acquire {num_ipus} IPU(s): {free} of {_capacity[0]} are free. Call "
            "detachFromDevice() on the executor that holds them, or destroy() it.",
            "poptorch_cpp_error",
        )
    _held[owner] = num_ipus


def _free() -> int:
    return _capacity[0] - sum(_held.values())


def release(owner: int) -> None:
    """Give an executor's IPUs back."""
    _held.pop(owner, None)
