"""Notes on data, for people: few lines, however much is wrong."""

from __future__ import annotations

from typing import List, Sequence

from pipelines.door import shown

MOST_NOTES = 20
MOST_LETTERS = 600  # of one note


def at_most(notes: Sequence[str], limit: int = MOST_NOTES) -> List[str]:
    """The first ``limit`` notes, and how many more there are."""
    more, notes = len(notes) - limit, [shown(note, MOST_LETTERS) for note in notes]
    return [*notes[:limit], f"and {more} more folders or files like these"] if more > 0 else list(notes)
