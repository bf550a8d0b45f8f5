"""Progress for people: a live bar on a terminal, plain lines otherwise (rich draws the first).

Both move by time, so that they do not fall silent where an epoch takes long; the rows of ``metrics.jsonl`` go
by points of an epoch. A line fits into 80 columns.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Optional, TextIO, Tuple

from ipu_app.training.metrics import TrainMeter, train_means
from ipu_app.training.sinks import CallState, Row, Sink

INTERVAL_S = 10.0  # between two updates


def console_sink(*, epochs: int, clock: Callable[[], float], stream: Optional[TextIO] = None) -> Sink:
    """Return the sink that suits the stream (default: standard output) for a run of so many epochs."""
    stream = stream or sys.stdout
    if stream.isatty():
        return LiveSink(epochs=epochs, clock=clock)
    return PlainSink(stream, epochs=epochs, clock=clock)


@dataclass
class _Recent:
    """The calls since the last update: means of this instance's images, images/s of all."""

    clock: Callable[[], float]
    meter: TrainMeter = field(default_factory=TrainMeter)
    images: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self._since_s = self.clock()

    @property
    def is_due(self) -> bool:
        return self.clock() - self._since_s >= INTERVAL_S

    def add(self, state: CallState) -> None:
        self.meter.add(state.result)
        if state.seconds is not None:
            self.images += state.images
            self.seconds += state.seconds

    def drain(self, left_s: Optional[float]) -> str:
        has_loss = self.meter.samples > 0
        means = train_means(self.meter.drain())
        images_per_s = self.images / self.seconds if self.seconds > 0 else None
        self.images, self.seconds, self._since_s = 0, 0.0, self.clock()
        words = [f"loss {means['loss']:.3f} acc {means['accuracy']:.1%}", rate(images_per_s)]
        words[0] = words[0] if has_loss else "no finite loss"
        return " ".join(words if left_s is None else [*words, f"{duration(left_s)} left"])


class PlainSink(Sink):
    """One line per validation, per train row, and every ten seconds between them."""

    def __init__(self, stream: TextIO, *, epochs: int, clock: Callable[[], float]) -> None:
        self._stream, self._epochs, self._recent = stream, epochs, _Recent(clock)

    def step(self, state: CallState) -> None:
        """Print a line if it is time."""
        self._recent.add(state)
        if self._recent.is_due:
            epoch = state.epoch - 1 + state.done / state.total
            head = _head(state.time_s, state.phase, epoch, self._epochs)
            self._print(f"{head} {self._recent.drain(state.left_s)}")

    def row(self, row: Row) -> None:
        """Print one line."""
        self._recent.drain(None)
        self._print(_line(row, self._epochs))

    def _print(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


class LiveSink(Sink):
    """A bar for the running epoch, with loss, accuracy, images/s and what is left of the phase.

    Validations stay above it. ``console`` is rich's; None takes that of standard output.
    """

    def __init__(self, *, epochs: int, clock: Callable[[], float], console: Optional[Any] = None) -> None:
        from rich import get_console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=max(4, min(40, (console or get_console()).width - 76))),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            console=console,
        )
        self._task = self._bar.add_task("", total=1, state="")
        self._epochs, self._recent = epochs, _Recent(clock)
        self._epoch: Tuple[str, int] = ("", 0)
        self._has_rate, self._state = False, ""

    def step(self, state: CallState) -> None:
        """Move the bar; its words change when it is time, and with a phase's first two calls."""
        if not self._bar.live.is_started:
            self._bar.start()
        if self._epoch != (state.phase, state.epoch):
            self._epoch = (state.phase, state.epoch)
            description = f"{state.phase} epoch {state.epoch}/{self._epochs}"
            self._bar.reset(self._task, description=description, total=state.total)
        self._recent.add(state)
        if not self._has_rate or state.seconds is None or self._recent.is_due:
            self._has_rate = state.seconds is not None
            self._state = self._recent.drain(state.left_s)
        self._bar.update(self._task, completed=state.done, state=self._state)

    def row(self, row: Row) -> None:
        """Print validations above the bar."""
        if row["kind"] != "train":
            self._bar.console.print(_line(row, self._epochs), highlight=False)

    def close(self, summary: Mapping[str, Any]) -> None:
        """Stop drawing."""
        self._bar.stop()

    def stop(self) -> None:
        """Stop drawing, which gives the cursor back."""
        self._bar.stop()


def _line(row: Row, epochs: int) -> str:
    head = _head(row["time_s"], row["phase"], row["epoch"], epochs)
    if row["kind"] == "train":
        means = f"loss {row['loss']:.3f} acc {row['accuracy']:.1%}"
        return f"{head} {means} lr {row['lr']:.4g} {rate(row['images_per_s'])}"
    shares = f"top-1 {row['top1']:.2%} top-5 {row['top5']:.2%} loss {row['loss']:.2f}"
    kind = "val " if row["kind"] == "val" else ""
    return f"{head} {kind}{row['resolution']} px {shares}"


def _head(time_s: float, phase: str, epoch: float, epochs: int) -> str:
    minutes, seconds = divmod(int(time_s), 60)
    at = f"{epoch:.0f}" if epoch == int(epoch) else f"{epoch:.{1 if epochs >= 100 else 2}f}"
    return f"[{minutes // 60}:{minutes % 60:02d}:{seconds:02d}] {phase} epoch {at}/{epochs}"


def rate(images_per_s: Optional[float]) -> str:
    """Return a throughput in words; the first call of a phase may compile and gives none."""
    if images_per_s is None:
        return "first step"
    return f"{images_per_s:.{0 if images_per_s >= 1000 else 1}f} images/s"


def duration(seconds: float) -> str:
    """Return a time to wait in the units that matter: 1m05s, 1h05m, 71h."""
    minutes = int(seconds) // 60
    if minutes < 60:
        return f"{minutes}m{int(seconds) % 60:02d}s"
    return f"{minutes // 60}h{minutes % 60:02d}m" if minutes < 600 else f"{minutes // 60}h"
