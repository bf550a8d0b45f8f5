"""Files that are whole and on the disk before anybody relies on them, and what a disk refuses in one line."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import Iterator

from ipu_app.errors import RunFailed

_REFUSALS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota of the disk is used up",
    errno.EROFS: "the disk may only be read",
    errno.EFBIG: "the file would be larger than is allowed (ulimit -f)",
    errno.EIO: "the disk reports an error",
    errno.ENOENT: "its folder is gone",
    errno.ESTALE: "its folder is gone",
    errno.EACCES: "it may not be written",
    errno.EPERM: "it may not be written",
}


@contextlib.contextmanager
def explained_writing(what: str, kept: str = "") -> Iterator[None]:
    """Tell of what the system refuses to write in one line (RunFailed); ``kept`` says what is left."""
    try:
        yield
    except OSError as error:
        raise RunFailed(f"{what} could not be written: {why_not(error)}{kept and '; ' + kept}") from error


def why_not(error: OSError) -> str:
    """Return in words what the system said of a file, and which one."""
    said = _REFUSALS.get(error.errno or 0) or error.strerror or str(error)
    return f"{said} ({error.filename})" if error.filename else said


def write_text(path: Path, text: str) -> None:
    """Write a file beside and move it into place once it is on the disk: a reader never sees half of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with draft.open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
    sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Wait until a file is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until a folder's names are on the disk; some network file systems can not, and need not."""
    handle = os.open(str(folder), os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)
