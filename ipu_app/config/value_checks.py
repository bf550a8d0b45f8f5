"""Checks that configuration sections share; each message names the key, its value and what is allowed."""

from __future__ import annotations

import os
from typing import Any, Collection, Optional

MOST_NAME_BYTES = 200  # file systems allow 255; drafts and numbers are put behind a name


def one_of(key: str, value: Any, allowed: Collection[Any]) -> None:
    """Refuse a value that is not in ``allowed``."""
    if value not in allowed:
        raise ValueError(f"{key}={value!r}: choose one of {', '.join(map(str, allowed))}")


def at_least(key: str, value: float, least: float) -> None:
    """Refuse a number below ``least`` (and NaN)."""
    if not value >= least:
        raise ValueError(f"{key}={value}: must be {least} or more")


def between(key: str, value: Optional[float], low: float, high: float) -> None:
    """Refuse a number outside ``low``..``high``; None passes."""
    if value is not None and not low <= value <= high:
        raise ValueError(f"{key}={value}: must lie between {low} and {high}")


def file_name(key: str, value: str) -> None:
    """Refuse a name that leads out of its folder, is hidden, or is too long for a file system; '' passes."""
    too_long = len(os.fsencode(value)) > MOST_NAME_BYTES
    if any(letter in value for letter in "/\\\0\n\r") or value.startswith(".") or too_long:
        raise ValueError(
            f"{key}={value!r}: must be a name without slashes, not beginning with a dot, and of at most "
            f"{MOST_NAME_BYTES} bytes"
        )
