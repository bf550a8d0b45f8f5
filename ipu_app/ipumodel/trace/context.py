"""Which trace, if any, is running now: the one piece of process state that `ops` and `tracing` share."""

from __future__ import annotations

from typing import List, Optional

from .tracer import Tracer

_running: List[Tracer] = []


def current() -> Optional[Tracer]:
    """Return the trace in progress, None outside of one."""
    return _running[-1] if _running else None


def push(tracer: Tracer) -> None:
    """Make `tracer` the trace in progress."""
    _running.append(tracer)


def pop() -> None:
    """End the trace in progress."""
    _running.pop()


def isRunningOnIpu() -> bool:
    """Whether the code is being traced for the IPU (never true while it runs on the host)."""
    return bool(_running)
