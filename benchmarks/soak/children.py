"""Runs in processes of their own, forked from one that has imported torch already: a start takes a moment."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, List, Optional, Sequence

TOO_LONG_S = 300.0


@dataclass(frozen=True)
class Ended:
    """How a process ended: exit code (negative: by this signal), its last line of errors, all it printed."""

    code: int
    text: str
    peak_kilobytes: int = 0

    @property
    def last(self) -> str:
        """The last line, or ''."""
        return (self.text.strip().splitlines() or [""])[-1]

    @property
    def is_clean(self) -> bool:
        """Whether it says what it has to say without a traceback."""
        return "Traceback" not in self.text


@dataclass(frozen=True)
class Stop:
    """A signal after so many seconds."""

    after_s: float
    number: int = signal.SIGKILL


def run(
    words: Sequence[str], log: Path, *, stop: Optional[Stop] = None, file_limit: Optional[int] = None
) -> Ended:
    """Run the command line in a child; ``file_limit``: bytes to which the system lets it write any file."""
    return run_function(lambda: _main(list(words)), log, stop=stop, file_limit=file_limit)


def run_function(
    function: Callable[[], int], log: Path, *, stop: Optional[Stop] = None, file_limit: Optional[int] = None
) -> Ended:
    """Run a function in a child, whose output goes to ``log``."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os._exit(_in_child(function, log, file_limit))
    started = time.monotonic()
    sent = False
    while True:
        pid, status, used = os.wait4(child, os.WNOHANG)
        if pid:
            code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
            return Ended(code, log.read_text(encoding="utf-8", errors="replace"), used.ru_maxrss)
        now = time.monotonic() - started
        if now > TOO_LONG_S:
            os.kill(child, signal.SIGKILL)
        if stop and not sent and now >= stop.after_s:
            os.kill(child, stop.number)
            sent = True
        time.sleep(0.005)


def _main(words: List[str]) -> int:
    from ipu_app.__main__ import main

    return main(words)


def _in_child(function: Callable[[], int], log: Path, file_limit: Optional[int]) -> int:
    handle = os.open(str(log), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for descriptor in (1, 2):
        os.dup2(handle, descriptor)
    if file_limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
    try:
        return function()
    except BaseException:
        import traceback

        traceback.print_exc()
        return 70
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
