"""When a run is saved inside an epoch, when it ends early: decided between calls, by all processes alike."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Callable, ContextManager, List, Protocol, Sequence

CHECK_S = 2.0  # seconds between two agreements of several processes
Clock = Callable[[], float]


class Notice(Protocol):
    """Who hears that the run is to end: a scheduler's or a user's signal."""

    @property
    def signal(self) -> int:
        """The number of the signal that came, 0 before."""

    def deferred(self) -> ContextManager[None]:
        """Surround what must not be interrupted: a signal is noted there; elsewhere it ends the run."""

    def saving(self) -> None:
        """The last state is being written: no deadline any more."""

    def wait(self, seconds: float) -> bool:
        """Tell whether a signal has come, or comes within so many seconds."""


class NoNotice:
    """Nobody sends signals: for runs inside another program."""

    signal = 0

    def deferred(self) -> ContextManager[None]:
        """Do nothing."""
        return contextlib.nullcontext()

    def saving(self) -> None:
        """Do nothing."""

    def wait(self, seconds: float) -> bool:
        """Return False at once."""
        return False


class Summing(Protocol):
    """What agreeing takes of the processes of a job."""

    size: int

    def all_sum(self, values: Sequence[float]) -> List[float]:
        """Return the element-wise sums over all instances."""


@dataclass(frozen=True)
class Pause:
    """What to do after a call: write the state; end, by this signal (0: go on)."""

    save: bool = False
    signal: int = 0


class Pauses:
    """Decides after each call. ``every_s`` seconds after the last checkpoint there is one (0: never).

    Several processes agree every few seconds only, at calls that they all know: whoever heard of the end or
    thinks it is time tells the others then.
    """

    def __init__(self, comm: Summing, clock: Clock, *, every_s: float, notice: Notice) -> None:
        self._comm, self._clock, self._every_s, self.notice = comm, clock, every_s, notice
        self._saved_s = self._agreed_s = clock()
        self._calls_left = self._stride = 1
        self.signal = 0

    def after_call(self) -> Pause:
        """Return what to do now; all processes call it after the same calls, and get the same."""
        self._calls_left -= 1
        if self._calls_left > 0:
            return Pause()
        now = self._clock()
        is_due = 0 < self._every_s <= now - self._saved_s
        signal = self.notice.signal
        if self._comm.size > 1:
            is_due, signal = self._agree(now, is_due, signal)
        else:
            self._calls_left = 1
        self.signal = signal
        return Pause(is_due, signal)

    def saved(self) -> None:
        """Count the time to the next checkpoint from now."""
        self._saved_s = self._clock()

    def _agree(self, now: float, is_due: bool, signal: int) -> "tuple[bool, int]":
        size, asked = self._comm.size, 1.0 if signal else 0.0
        sums = self._comm.all_sum([float(is_due), asked, float(signal), now - self._agreed_s])
        call_s = sums[3] / size / self._stride
        self._agreed_s = now
        self._stride = self._calls_left = max(1, int(CHECK_S / max(call_s, 1e-6)))
        return sums[0] > 0, round(sums[2] / sums[1]) if sums[1] else 0
