"""Progress for people: a live bar on a terminal, plain lines otherwise (rich draws the first)."""

from __future__ import annotations

import sys
from typing import Any, Mapping, Optional, TextIO

from ipu_app.training.sinks import Row, Sink


def console_sink(stream: Optional[TextIO] = None) -> Sink:
    """Return the sink that suits the stream (default: standard output)."""
    stream = stream or sys.stdout
    return LiveSink() if stream.isatty() else PlainSink(stream)


class PlainSink(Sink):
    """One line per validation and per train row."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def row(self, row: Row) -> None:
        """Print one line."""
        print(_line(row), file=self._stream, flush=True)


class LiveSink(Sink):
    """A bar for the running epoch, with loss, accuracy, images/s and time left; validations stay above it."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(),
        )
        self._task = self._bar.add_task("", total=1, state="")
        self._epoch: Optional[Any] = None

    def step(self, *, phase: str, epoch: int, done: int, total: int, row: Row) -> None:
        """Move the bar."""
        if not self._bar.live.is_started:
            self._bar.start()
        if self._epoch != (phase, epoch):
            self._epoch = (phase, epoch)
            self._bar.reset(self._task, description=f"{phase} epoch {epoch}", total=total)
        state = ""
        if row:
            state = f"loss {row['loss']:.3f}  acc {row['accuracy']:.1%}  {rate(row)}"
        self._bar.update(self._task, completed=done, state=state)

    def row(self, row: Row) -> None:
        """Print validations above the bar."""
        if row["kind"] != "train":
            self._bar.console.print(_line(row), highlight=False)

    def close(self, summary: Mapping[str, Any]) -> None:
        """Stop drawing."""
        self._bar.stop()


def _line(row: Row) -> str:
    head = f"[{row['time_s']:7.1f} s] {row['phase']} epoch {row['epoch']:6.2f} step {row['step']:6d}"
    if row["kind"] != "train":
        kind = "averaged weights" if row["averaged"] else "weights"
        return (
            f"{head}  validation at {row['resolution']} px ({kind}): top-1 {row['top1']:.2%}, "
            f"top-5 {row['top5']:.2%}, loss {row['loss']:.4f}, {row['samples']:.0f} images"
        )
    return f"{head}  loss {row['loss']:.4f}  accuracy {row['accuracy']:.2%}  lr {row['lr']:.5f}  {rate(row)}"


def rate(row: Row) -> str:
    """Return the throughput of a train row; the first call of a phase compiles and gives none."""
    value = row["images_per_s"]
    return "compiled" if value is None else f"{value:.1f} images/s"
