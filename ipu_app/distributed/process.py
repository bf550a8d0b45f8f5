"""Running a launcher as a child: signals go to it, and nothing of its tree outlives it.

Launchers put their workers into sessions of their own, so ending the launcher's process group is not
enough. On Linux this process adopts the orphans of its descendants, and finds all of them by their parents
in /proc.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Set

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
POLL_S = 0.1
# <linux/prctl.h>
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def run_job(
    argv: Sequence[str], environ: Mapping[str, str], *, grace_s: float = 25.0, kill_after_s: float = 5.0
) -> int:
    """Run a launcher to its end and return its exit code (128 + signal where a signal ended it).

    SIGINT, SIGTERM and SIGHUP are passed on to the launcher's group. ``grace_s`` seconds after the first of
    them, and as soon as the launcher has ended, what is left of its tree gets SIGTERM, and ``kill_after_s``
    seconds later SIGKILL. Call it from the main thread.
    """
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    mine_before = set(_children_of(os.getpid()))
    child = subprocess.Popen(
        list(argv), env=dict(environ), start_new_session=True, preexec_fn=_end_with_parent
    )
    received: List[int] = []
    try:
        with _forwarding(child, received):
            code = _wait(child, received, grace_s)
    finally:
        _end_tree(child, mine_before, kill_after_s)
    if code == 0 and received:
        code = -received[0]
    return code if code >= 0 else 128 - code


def _wait(child: subprocess.Popen[bytes], received: List[int], grace_s: float) -> int:
    """Wait for the launcher; give up ``grace_s`` seconds after the first signal."""
    deadline: Optional[float] = None
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return child.wait(timeout=POLL_S)
        if received and deadline is None:
            deadline = time.monotonic() + grace_s
        if deadline is not None and time.monotonic() > deadline:
            return -received[0]


@contextlib.contextmanager
def _forwarding(child: subprocess.Popen[bytes], received: List[int]) -> Iterator[None]:
    def forward(number: int, frame: Optional[FrameType]) -> None:
        received.append(number)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)

    previous = {number: signal.signal(number, forward) for number in FORWARDED}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _end_tree(child: subprocess.Popen[bytes], mine_before: Set[int], kill_after_s: float) -> None:
    """End every process below the launcher, and those that it left to us when it ended."""
    deadline = time.monotonic() + kill_after_s
    number = signal.SIGTERM
    warned: Set[int] = set()
    while True:
        alive = [pid for pid in _tree(child.pid, mine_before) if not _reaped(child, pid)]
        if not alive:
            return
        if time.monotonic() > deadline:
            number = signal.SIGKILL
        for pid in alive:
            if number == signal.SIGKILL or pid not in warned:
                warned.add(pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        time.sleep(POLL_S)


def _tree(child: int, mine_before: Set[int]) -> List[int]:
    """Descendants of this process that were not there before the launcher."""
    parents = _parents()
    found: List[int] = []
    mine = (pid for pid, parent in parents.items() if parent == os.getpid() and pid not in mine_before)
    layer = sorted({child, *mine})
    while layer:
        found += layer
        layer = [pid for pid, parent in parents.items() if parent in layer]
    return found


def _reaped(child: subprocess.Popen[bytes], pid: int) -> bool:
    """Collect an ended child of ours; True where nothing of it is left."""
    if pid == child.pid:
        return child.poll() is not None
    with contextlib.suppress(ChildProcessError):
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    return False


def _children_of(parent: int) -> List[int]:
    return [pid for pid, its_parent in _parents().items() if its_parent == parent]


def _parents() -> Dict[int, int]:
    """Map every process of this machine to its parent (Linux; elsewhere nothing is known)."""
    parents: Dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # "pid (name) state parent ...", and the name may hold anything
            after_name = stat.read_text("utf-8", "replace").rpartition(")")[2].split()
            parents[int(stat.parent.name)] = int(after_name[1])
    return parents


def _end_with_parent() -> None:
    """In the launcher: be told to end when this process is killed and can tell nobody."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
