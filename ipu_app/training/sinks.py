"""Who is told of a run's progress. Only rank 0 has sinks; each takes plain rows.

A row is a flat mapping with ``kind`` ``train``, ``val`` (after an epoch) or ``evaluate`` (at the end, one for
each resolution asked for); losses are in nats, accuracies 0..1, ``time_s`` is counted from the start of this
process's training.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

from torch import Tensor

from ipu_app.runtime.base import BatchResult
from ipu_app.training.durable import explained_writing, write_text
from pipelines.door import to_json

Row = Mapping[str, Any]


@dataclass(frozen=True)
class CallState:
    """Where a run is after one training call: ``done`` of ``total`` calls of an epoch.

    ``epoch`` counts from 1 over the whole run; ``result`` is this instance's, ``images`` are those of all
    instances. ``seconds`` is None for a phase's first call, which compiles; ``left_s`` is what the phase
    still takes, validations included, as far as that can be told.
    """

    phase: str
    epoch: int
    done: int
    total: int
    time_s: float
    result: BatchResult
    images: int
    seconds: Optional[float]
    left_s: Optional[float]


class Sink:
    """Does nothing; real sinks override what concerns them."""

    def start(self, facts: Mapping[str, Any]) -> None:
        """Take what is known of the run before it begins: plain data in named groups."""

    def images(self, name: str, images: Tensor) -> None:
        """Take sample images, uint8 (N, 3, H, W)."""

    def row(self, row: Row) -> None:
        """Take one row of metrics."""

    def step(self, state: CallState) -> None:
        """Take the state of the running epoch, after each training call and its row, if there was one."""

    def close(self, summary: Mapping[str, Any]) -> None:
        """Take the run's summary; nothing follows."""

    def stop(self) -> None:
        """Let go of terminal and files: the run ends early, without a summary."""


class Sinks(Sink):
    """Several sinks as one."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = list(sinks)

    def start(self, facts: Mapping[str, Any]) -> None:
        """Pass on."""
        for sink in self._sinks:
            sink.start(facts)

    def images(self, name: str, images: Tensor) -> None:
        """Pass on."""
        for sink in self._sinks:
            sink.images(name, images)

    def row(self, row: Row) -> None:
        """Pass on."""
        for sink in self._sinks:
            sink.row(row)

    def step(self, state: CallState) -> None:
        """Pass on."""
        for sink in self._sinks:
            sink.step(state)

    def close(self, summary: Mapping[str, Any]) -> None:
        """Pass on."""
        for sink in self._sinks:
            sink.close(summary)

    def stop(self) -> None:
        """Pass on."""
        for sink in self._sinks:
            sink.stop()


class JsonlSink(Sink):
    """Append each row to ``metrics.jsonl`` at once, so that a killed run keeps what it had."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def row(self, row: Row) -> None:
        """Write one line."""
        with explained_writing(self._path.name, "checkpoints are kept"), self._path.open("ab") as file:
            file.write((to_json(row) + "\n").encode("utf-8"))


def read_rows(path: Path) -> List[Dict[str, Any]]:
    """Return the rows of a ``metrics.jsonl``; a damaged line costs that line."""
    return [row for row in map(_row_of, _lines(path)) if row is not None]


def damaged_lines(path: Path) -> int:
    """Return how many lines of a ``metrics.jsonl`` are no rows; the last may be one that was cut off."""
    return sum(_row_of(line) is None for line in _lines(path)[:-1])


def _lines(path: Path) -> List[bytes]:
    return [line for line in path.read_bytes().split(b"\n") if line.strip()] if path.is_file() else []


def _row_of(line: bytes) -> Optional[Dict[str, Any]]:
    try:
        row = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    is_row = isinstance(row, dict) and isinstance(row.get("kind"), str)
    numbers = is_row and all(_is_number(row.get(key)) for key in ("step", "epoch"))
    return row if numbers else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def keep_rows_up_to(path: Path, step: int, *, validation: bool = True) -> None:
    """Drop the rows after ``step`` and those of the run's end: a resumed run writes them again.

    ``validation`` False: that of this very step will be done anew, too.
    """
    kept = [row for row in read_rows(path) if row["step"] <= step and row["kind"] != "evaluate"]
    if not validation:
        kept = [row for row in kept if row["kind"] != "val" or row["step"] < step]
    with explained_writing(path.name):
        write_text(path, "".join(to_json(row) + "\n" for row in kept))
