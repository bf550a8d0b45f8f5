"""Who is told of a run's progress. Only rank 0 has sinks; each takes plain rows.

A row is a flat mapping with ``kind`` ``train``, ``val`` (after an epoch) or ``evaluate`` (at the end, one for
each resolution asked for); losses are in nats, accuracies 0..1, ``time_s`` is counted from the start of this
process's training.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

from torch import Tensor

from ipu_app.runtime.base import BatchResult

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
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def read_rows(path: Path) -> List[Dict[str, Any]]:
    """Return the rows of a ``metrics.jsonl``; a half-written last line is left out."""
    rows: List[Dict[str, Any]] = []
    if not path.is_file():
        return rows
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def keep_rows_up_to(path: Path, step: int) -> None:
    """Drop the rows after ``step`` and those of the run's end: a resumed run writes them again."""
    rows = [row for row in read_rows(path) if row["step"] <= step and row["kind"] != "evaluate"]
    draft = path.with_suffix(".part")
    draft.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    os.replace(draft, path)
