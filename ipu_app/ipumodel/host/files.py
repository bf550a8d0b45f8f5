"""Compiled executors in files. A file holds the model, its options and the shapes it was compiled for.

As with PopTorch, a file belongs to the exact version that wrote it. It is a pickle: load only files of your
own.
"""

from __future__ import annotations

import pickle
from typing import Any, Dict

from .._errors import py_error

_FORMAT = "ipumodel executable"
VERSION = "3.4.0-simulator"


def write(filename: str, content: Dict[str, Any]) -> None:
    """Write an executable with the version that made it."""
    with open(filename, "wb") as stream:
        pickle.dump({"format": _FORMAT, "version": VERSION, **content}, stream)


def read(filename: str) -> Dict[str, Any]:
    """Read an executable; Error if it is none, AssertionError if another version wrote it."""
    with open(filename, "rb") as stream:
        try:
            content = pickle.load(stream)
        except pickle.UnpicklingError as error:
            raise py_error(f"Invalid file {filename}: it is not a PopTorch executable ({error}).") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise py_error(f"Invalid file {filename}: it is not an executable of the simulated PopTorch.")
    assert content["version"] == VERSION, (
        f"PopTorch version mismatch: File {filename} was created with version {content['version']} and "
        f"can't be loaded with version {VERSION}"
    )
    return content
