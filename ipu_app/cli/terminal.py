"""Standard output that never ends a run: closed, on a full disk, or of a terminal that knows ASCII only."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any, TextIO

_DESCRIPTORS = 3  # input, output, errors


class _Patient(io.RawIOBase):
    """Writes to a descriptor; what can not be written is left out. A reader that is gone is still told of."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def writable(self) -> bool:
        """Yes."""
        return True

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._descriptor)

    def write(self, data: Any) -> int:
        """Write bytes, or leave them out; BrokenPipeError where nobody reads."""
        try:
            return os.write(self._descriptor, data)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            return len(data)


def make_patient() -> None:
    """Put such streams in the place of standard output and errors."""
    for _ in range(_DESCRIPTORS):  # a file that is opened next would get a closed stream's number
        descriptor = os.open(os.devnull, os.O_RDWR)
        if descriptor >= _DESCRIPTORS:
            os.close(descriptor)
            break
    sys.stdout, sys.stderr = _stream(sys.stdout, 1), _stream(sys.stderr, 2)


def _stream(given: Any, descriptor: int) -> TextIO:
    """A stream as the given one, with letters that it can not write as escapes."""
    if given is not None:
        given.flush()
    encoding = given.encoding if given is not None else "utf-8"
    raw = _Patient(descriptor)
    buffer: Any = io.BufferedWriter(raw) if descriptor == 1 else raw
    return io.TextIOWrapper(
        buffer,
        encoding=encoding,
        errors="backslashreplace",
        line_buffering=descriptor == 2 or raw.isatty(),
        write_through=descriptor == 2,
    )
