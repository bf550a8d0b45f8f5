"""The options that a compilation uses, in the debugging log, one line each."""

from __future__ import annotations

import enum
import logging
from typing import Any, Dict, Iterator

from .._logging import logger


def log_options(values: Dict[str, Any]) -> None:
    """Log all options as the backend gets them (POPTORCH_LOG_LEVEL=DEBUG)."""
    if not logger.isEnabledFor(logging.DEBUG):
        return
    for key, value in values.items():
        for line in _lines(key, value):
            logger.debug("poptorch.Options %s", line)


def _lines(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (f"set {key}[{name}] to {_text(item)}" for name, item in value.items())
    elif isinstance(value, (list, tuple, set)):
        yield from (f"added {_text(item)} to {key}" for item in value)
    else:
        yield f"set {key} to value {_text(value)}"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, enum.IntEnum) else str(value)
