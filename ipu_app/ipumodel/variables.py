"""The one place of this package that reads the process environment: the POPTORCH_* variables and mpirun's."""

from __future__ import annotations

import json
import os
from typing import Any, Dict

from ._errors import py_error

#: POPTORCH_LOG_LEVEL -> the level of Python's logging module
LOG_LEVELS = {
    "TRACE_ALL": 5,
    "TRACE": 5,
    "DEBUG": 10,
    "DEBUG_IR": 10,
    "INFO": 20,
    "WARN": 30,
    "ERR": 40,
    "OFF": 100,
}


def text(name: str, default: str = "") -> str:
    """The value of an environment variable."""
    return os.environ.get(name, default)


def integer(name: str, default: int) -> int:
    """The value of an environment variable as a whole number; empty counts as unset."""
    return int(text(name) or default)


def is_set(name: str) -> bool:
    """Whether a switch variable is on: set, and neither empty nor 0."""
    return text(name) not in ("", "0")


def ipu_model_requested() -> bool:
    """Whether POPTORCH_IPU_MODEL or POPTORCH_SMALL_IPU_MODEL asks for the emulated device."""
    return is_set("POPTORCH_IPU_MODEL") or is_set("POPTORCH_SMALL_IPU_MODEL")


def cache_directory() -> str:
    """POPTORCH_CACHE_DIR, or an empty string."""
    return text("POPTORCH_CACHE_DIR")


def default_options() -> Dict[str, Any]:
    """POPTORCH_DEFAULT_OPTIONS: a JSON object of option name to argument."""
    return dict(json.loads(text("POPTORCH_DEFAULT_OPTIONS") or "{}"))


def log_level() -> int:
    """POPTORCH_LOG_LEVEL as a logging level (default WARN); an unknown name is refused, at import as in
    PopTorch."""
    name = text("POPTORCH_LOG_LEVEL", "WARN") or "WARN"
    if name not in LOG_LEVELS:
        raise py_error(f"Unknown POPTORCH_LOG_LEVEL '{name}': choose one of {sorted(LOG_LEVELS)}")
    return LOG_LEVELS[name]


def simulator_mode() -> str:
    """POPTORCH_SIMULATOR_MODE: strict (default) or faithful, see ``strictness``; another word is an Error."""
    mode = text("POPTORCH_SIMULATOR_MODE", "strict") or "strict"
    if mode not in ("strict", "faithful"):
        raise py_error(f"POPTORCH_SIMULATOR_MODE={mode!r}: choose strict or faithful")
    return mode


def log_destination() -> str:
    """POPTORCH_LOG_DEST: stdout, stderr (default) or a file name."""
    return text("POPTORCH_LOG_DEST", "stderr") or "stderr"
