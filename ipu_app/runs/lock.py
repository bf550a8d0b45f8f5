"""One process trains a run at a time: a second one is refused, and a dead one is in nobody's way.

A POSIX record lock, which the system takes back when its process ends, however it ends; processes that it has
started do not keep it, and network file systems tell other hosts of it. The file's text is only for people.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import time
from pathlib import Path
from typing import Callable, Iterator

NAME = ".lock"
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.EROFS)


@contextlib.contextmanager
def locked(run: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold a run's folder; ValueError, which names the process, where another one holds it.

    On a file system without locks it goes on, and says so.
    """
    path = run / NAME
    descriptor = os.open(str(path), os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise ValueError(
                    f"run={run}: {_holder(descriptor)} is training it; wait, or end that one"
                ) from None
            if error.errno not in _NO_LOCKS:
                raise
            say(f"note: {path} can not be locked ({error.strerror}): nobody else may resume this run")
        _sign(descriptor)
        yield
    finally:
        os.close(descriptor)


def _sign(descriptor: int) -> None:
    words = {"host": socket.gethostname(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    with contextlib.suppress(OSError):  # a full disk: the lock holds without a name
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(words).encode("utf-8"), 0)


def _holder(descriptor: int) -> str:
    with contextlib.suppress(ValueError, KeyError, TypeError, OSError):
        words = json.loads(os.pread(descriptor, 1000, 0))
        return f"process {words['pid']} on {words['host']} (since {words['since']})"
    return "another process"
