"""PopTorch's logger and its levels."""

from __future__ import annotations

import logging
import sys
from typing import Any, Union

from .variables import LOG_LEVELS, log_level

#: numbers that setLogLevel takes for names: PopTorch's own, which has none for 5
_BY_NUMBER = {0: "TRACE", 1: "DEBUG", 2: "INFO", 3: "WARN", 4: "ERR", 6: "OFF"}


class _ToStderr(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to whatever sys.stderr is at the moment, not to what it was at import."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:  # type: ignore[override]
        return sys.stderr


class _Format(logging.Formatter):
    """[hours:minutes:seconds.milliseconds] [logger] [level] message"""

    def __init__(self) -> None:
        super().__init__("[%(asctime)s.%(msecs)03d] [%(name)s] [%(levelname)s] %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text.replace(f"[{record.levelname}]", f"[{record.levelname.lower()}]", 1)


def _make_logger() -> logging.Logger:
    found = logging.getLogger("poptorch::python")
    found.setLevel(log_level())
    if not any(isinstance(handler, _ToStderr) for handler in found.handlers):
        handler = _ToStderr()
        handler.setFormatter(_Format())
        found.addHandler(handler)
    return found


logger = _make_logger()


def setLogLevel(level: Union[str, int]) -> None:
    """Set how much is logged: a name of POPTORCH_LOG_LEVEL, or 0 (trace) .. 4 (errors only), 6 (off);
    ValueError for anything else.
    """
    name = _BY_NUMBER.get(level, level) if isinstance(level, int) else level
    if name not in LOG_LEVELS:
        raise ValueError(f"Unknown log level: {level!r}. Valid values are {', '.join(sorted(LOG_LEVELS))}")
    logger.setLevel(LOG_LEVELS[str(name)])
