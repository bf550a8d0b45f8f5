"""A table of the report, as plain text cells for the terminal and for the page alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Table:
    """A table with its heading, a sentence on what its figures are, and which columns are numbers.

    ``below`` stands under it. ``cards``: on a phone its rows are stacked rather than scrolled.
    """

    title: str
    note: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[int]
    below: str = ""
    cards: bool = False
