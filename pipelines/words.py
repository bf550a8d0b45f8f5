"""Numbers in sentences."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 class``, ``2 classes``, ``2 epochs``, ``1 loader worker``."""
    if number == 1:
        return f"{number} {noun}"
    hisses = noun.endswith(("s", "x", "ch", "sh")) and not noun.endswith("epoch")
    return f"{number} {noun}{'es' if hisses else 's'}"
