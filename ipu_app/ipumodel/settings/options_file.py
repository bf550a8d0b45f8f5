"""Options from text: a file of option calls (loadFromFile) and a JSON object (POPTORCH_DEFAULT_OPTIONS).

As in PopTorch the lines of a file are Python and are executed: load only files of your own.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Dict

from .._errors import ConfigFileError
from ..enums import BY_NAME


def apply_file(options: Any, filepath: str) -> None:
    """Execute the lines of a file, each with ``options.`` in front; blank lines and # comments are skipped.

    ConfigFileError for a line that is no Python, numbered without the skipped ones; every other error of a
    line passes as it is.
    """
    with open(filepath, encoding="utf-8") as lines:
        stripped = [line.strip() for line in lines]
    code = "\n".join(f"options.{line}" for line in stripped if line and not line.startswith("#"))
    names = {"options": options, "poptorch": sys.modules[str(__package__).rpartition(".")[0]]}
    try:
        exec(compile(code, "<string>", "exec"), {}, names)
    except SyntaxError as error:
        raise ConfigFileError(
            f"SyntaxError at line {error.lineno} of {os.path.basename(filepath)}: {error.msg}\n> {error.text}"
        ) from error


def apply_json(options: Any, values: Dict[str, Any]) -> None:
    """Make one call per entry: {"deviceIterations": 2, "_Popart.set": ["key", 1], "outputMode":
    "OutputMode.All"}. Names of enumeration members inside lists stay text.
    """
    for path, value in values.items():
        setter = options
        for part in path.split("."):
            setter = getattr(setter, part)
        setter(*(value if isinstance(value, list) else [_as_enum(value)]))


def _as_enum(value: Any) -> Any:
    """ "ConnectionType.OnDemand" (or with poptorch. in front) is that member; anything else is left as it
    is."""
    if not isinstance(value, str) or "." not in value:
        return value
    kind, _, member = value.replace("poptorch.", "").rpartition(".")
    return getattr(BY_NAME.get(kind), member, value)
