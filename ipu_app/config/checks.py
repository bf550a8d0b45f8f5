"""Checks that configuration sections share; each message names the key, its value and what is allowed."""

from __future__ import annotations

from typing import Any, Optional, Sequence


def one_of(key: str, value: Any, allowed: Sequence[Any]) -> None:
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
