"""PopTorch's logger and its levels."""

from __future__ import annotations

import logging
from typing import Union

from .environment import LOG_LEVELS, log_level

logger = logging.getLogger("poptorch::python")
logger.setLevel(log_level())

_BY_NUMBER = ("TRACE", "DEBUG", "INFO", "WARN", "ERR", "OFF")


def setLogLevel(level: Union[str, int]) -> None:
    """Set how much is logged: a name of POPTORCH_LOG_LEVEL, or 0 (trace) .. 4 (errors only), 5 (off)."""
    name = _BY_NUMBER[level] if isinstance(level, int) else level.upper()
    if name not in LOG_LEVELS:
        raise ValueError(f"level={level!r}: choose one of {sorted(LOG_LEVELS)}")
    logger.setLevel(LOG_LEVELS[name])
