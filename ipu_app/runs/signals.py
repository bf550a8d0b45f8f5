"""Signals that tell a run to end: a user's, a terminal's, a scheduler's (Slurm, Kubernetes, spot machines).

The first one lets the running call end and its state be written; the second ends at once. A call that takes
longer than ``PATIENCE_S`` is given up: schedulers kill half a minute after their notice, and then nobody says
what was kept. A thread watches over both, as Python runs handlers only when the call it is in returns.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any, Dict, Iterator, Optional

from ipu_app.errors import RunStopped

NOTICES = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
    if hasattr(signal, name)
)
PATIENCE_S = 15.0  # for the running call to end; the state is written after that
SAME_S = 0.2  # launchers pass on what the terminal has sent to all: two so close together are one


class Signals:
    """Hears the notices while it is used as a context manager, in the main thread; nothing elsewhere."""

    def __init__(self) -> None:
        self.signal = 0
        self._depth = 0
        self._is_saving = False
        self._previous: Dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is not threading.main_thread():
            return self
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in NOTICES:
            before = signal.getsignal(number)
            if before != signal.SIG_IGN or number == signal.SIGTERM:  # nohup ignores SIGHUP
                self._previous[number] = signal.signal(number, self._hear)
        self._watch = threading.Thread(target=self._watch_over, daemon=True)
        self._watch.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if not self._previous:
            return
        for number, before in self._previous.items():
            signal.signal(number, before if before is not None else signal.SIG_DFL)
        self._previous = {}
        signal.set_wakeup_fd(self._wakeup)
        os.close(self._writer)  # ends the watch
        self._watch.join()
        os.close(self._reader)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Surround what must not be interrupted."""
        self._depth, self._is_saving = self._depth + 1, False
        try:
            yield
        finally:
            self._depth -= 1

    def saving(self) -> None:
        """The state is being written: that may take as long as it takes."""
        self._is_saving = True

    def wait(self, seconds: float) -> bool:
        """Tell whether a notice has come, or comes within so many seconds."""
        deadline = time.monotonic() + seconds
        while not self.signal and time.monotonic() < deadline:
            time.sleep(0.01)
        return bool(self.signal)

    def _hear(self, number: int, frame: Optional[FrameType]) -> None:
        is_first, self.signal = not self.signal, self.signal or number
        if is_first and not self._depth:
            raise RunStopped(number, "between two steps; the last checkpoint is kept, go on with --resume")

    def _watch_over(self) -> None:
        """Count the notices as they come, and the seconds after the first."""
        first_s: Optional[float] = None
        name = ""
        while True:
            ready, _, _ = select.select([self._reader], [], [], 0.1 if first_s else None)
            heard = [number for number in os.read(self._reader, 64) if number in NOTICES] if ready else []
            if ready and not heard and self._is_closed():
                return
            now = time.monotonic()
            if heard and first_s is None:
                first_s, name = now, signal.Signals(heard[0]).name
            elif heard and first_s is not None and now - first_s > SAME_S:
                self._end_now(
                    heard[0], "a second signal; what was not saved is lost, the last checkpoint is kept"
                )
            if first_s is not None and not self._is_saving and now - first_s > PATIENCE_S:
                self._end_now(
                    signal.Signals[name].value,
                    f"the running call did not end within {PATIENCE_S:.0f} s; the last checkpoint is kept",
                )

    def _is_closed(self) -> bool:
        return not self._previous

    def _end_now(self, number: int, why: str) -> None:
        stopped = RunStopped(number, why)
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(f"ipu_app: {stopped_line(stopped)}\n")
            sys.stderr.flush()
        os._exit(stopped.code)


def stopped_line(stopped: RunStopped) -> str:
    """Return in one line what ended a run, and what is left."""
    return f"stopped by {signal.Signals(stopped.number).name}: {' '.join(str(stopped).split())}"
