"""Memory for training on the CPU: what one step frees, the next one takes again.

By default glibc gives every large block back to the kernel, which then hands it out anew page by page,
zeroed: tens of thousands of page faults in a training step, and none once blocks are kept (the tests count
them). The peak is the same; memory stays with the process between steps.
"""

from __future__ import annotations

import ctypes
import sys

# mallopt's parameters, from glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Tell glibc's malloc, for the whole process, to keep what is freed; returns whether it took effect.

    Without effect where the C library is another one (macOS, musl); harmless under a preloaded allocator.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, NEVER))
