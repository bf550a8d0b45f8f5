"""Who is told of a run's progress. Only rank 0 has sinks; each takes plain rows.

A row is a flat mapping with ``kind`` ``train``, ``val`` (after an epoch) or ``evaluate`` (at the end, one for
each resolution asked for); losses are in nats, accuracies 0..1, ``time_s`` is counted from the start of this
process's training.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence

from torch import Tensor

Row = Mapping[str, Any]


class Sink:
    """Does nothing; real sinks override what concerns them."""

    def start(self, facts: Mapping[str, Any]) -> None:
        """Take what is known of the run before it begins: plain data in named groups."""

    def images(self, name: str, images: Tensor) -> None:
        """Take sample images, uint8 (N, 3, H, W)."""

    def row(self, row: Row) -> None:
        """Take one row of metrics."""

    def step(self, *, phase: str, epoch: int, done: int, total: int, row: Row) -> None:
        """Take the state of the running epoch: ``done`` of ``total`` batches, with the last train row."""

    def close(self, summary: Mapping[str, Any]) -> None:
        """Take the run's summary; nothing follows."""


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

    def step(self, **state: Any) -> None:
        """Pass on."""
        for sink in self._sinks:
            sink.step(**state)

    def close(self, summary: Mapping[str, Any]) -> None:
        """Pass on."""
        for sink in self._sinks:
            sink.close(summary)


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
