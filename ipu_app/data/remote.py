"""Files behind URLs: copied to this machine once, whole or not at all, and checked by what is known of them.

HTTP is read directly; everything else (``s3:``, ``gs:``, ``hf:``, ``pipe:`` commands and so on) as the
package webdataset opens it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, Any, Iterator, List, NamedTuple, Optional
from urllib.parse import urlsplit

TIMEOUT_S = 30.0  # without an answer
TRIES = 5
_BLOCK_BYTES = 1 << 20
_WORTH_ANOTHER_TRY = (408, 429)  # HTTP: timed out, too many requests; as is any 5xx


class Expected(NamedTuple):
    """What a file must be, None where that is not known: bytes, and sha256 as hexadecimal digits."""

    size: Optional[int] = None
    sha256: Optional[str] = None

    def check(self, size: int, sha256: str) -> None:
        """OSError where the file is another."""
        if self.size is not None and size != self.size:
            raise OSError(f"has {size} bytes, and by the index {self.size}")
        if self.sha256 is not None and sha256 != self.sha256:
            raise OSError("is not what the index tells of: sha256 differs; were the shards replaced?")


def is_remote(data: str) -> bool:
    """Whether ``data`` is a URL, "pipe:" commands included."""
    return "://" in data or data.startswith("pipe:")


def join_url(base: str, name: str) -> str:
    """The URL of the file ``name``: in place of ``{}`` where ``base`` has one, else below it."""
    return base.replace("{}", name) if "{}" in base else f"{base.rstrip('/')}/{name}"


def expand(pattern: str) -> List[str]:
    """The names that WebDataset's notation stands for: ``{000..127}``, ``{a,b}``, and ``::`` between several.

    Needs the package braceexpand, which comes with webdataset, where there are braces.
    """
    parts = [part for part in pattern.split("::") if part]
    if "{" not in pattern:
        return parts
    import braceexpand

    try:
        return [name for part in parts for name in braceexpand.braceexpand(part, escape=False)]
    except ValueError as error:
        raise ValueError(f"data.source={pattern}: {error}") from error


def copy_url(
    url: str,
    target: Path,
    *,
    expected: Optional[Expected] = None,
    anew: bool = False,
    tries: int = TRIES,
    announcement: str = "",
) -> None:
    """Copies what ``url`` holds to ``target``, once even if several processes ask (``anew``: once for each).

    ``target`` is complete and as ``expected`` whenever it is there. ``announcement`` goes to stderr before
    anything is copied. ValueError, one line, where the URL can not be read.
    """
    with _lock(target):
        if target.is_file() and not anew:
            return
        if announcement:
            print(announcement, file=sys.stderr)
        handle, temporary = tempfile.mkstemp(dir=target.parent, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                _copy(url, file, expected or Expected(), tries)
            os.replace(temporary, target)
        except Exception as error:  # URLs, cloud clients and pipes each raise types of their own
            os.unlink(temporary)
            raise ValueError(f"data.source={url}: can not be read ({_one_line(error)})") from error


@contextlib.contextmanager
def _lock(target: Path) -> Iterator[None]:
    """Keeps other processes from writing ``target``; ValueError where its folder can not be written."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = open(f"{target}.lock", "w")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise ValueError(f"data.cache_dir: {target.parent} can not be written ({error.strerror})") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def refresh(url: str, target: Path) -> Optional[str]:
    """Copies a small file anew. Where that fails an older copy stays, if there is one; the note says so."""
    try:
        copy_url(url, target, anew=True, tries=2)
    except ValueError as error:
        if not target.is_file():
            raise
        day = time.strftime("%Y-%m-%d %H:%M", time.localtime(target.stat().st_mtime))
        return f"{error}; the copy of {day} is used"
    return None


def _copy(url: str, file: IO[bytes], expected: Expected, tries: int) -> None:
    """Writes what ``url`` holds, with pauses of 1, 2, 4... s after failures that may pass."""
    for attempt in range(tries):
        try:
            file.seek(0)
            file.truncate()
            _copy_once(url, file, expected)
            return
        except Exception as error:  # see copy_url
            if attempt + 1 == tries or not _may_pass(url, error):
                raise
        time.sleep(2.0**attempt)


def _may_pass(url: str, error: Exception) -> bool:
    if isinstance(error, urllib.error.HTTPError):
        return error.code >= 500 or error.code in _WORTH_ANOTHER_TRY
    return _is_http(url)  # other openers try again by themselves


def _copy_once(url: str, file: IO[bytes], expected: Expected) -> None:
    digest, size = hashlib.sha256(), 0
    with _open(url) as stream:
        announced = stream.headers.get("Content-Length") if _is_http(url) else None
        for block in iter(lambda: stream.read(_BLOCK_BYTES), b""):
            digest.update(block)
            size += len(block)
            file.write(block)
    if announced is not None and size != int(announced):
        raise OSError(f"ended after {size} of {announced} bytes")
    expected.check(size, digest.hexdigest())


def _is_http(url: str) -> bool:
    """Whether urllib reads it; it does not take names and passwords in URLs."""
    return url.startswith(("http://", "https://")) and "@" not in urlsplit(url).netloc


def _open(url: str) -> Any:
    if _is_http(url):
        try:
            return urllib.request.urlopen(url, timeout=TIMEOUT_S)
        except urllib.error.HTTPError as error:
            error.close()  # it holds the answer's connection
            raise
    import webdataset

    return webdataset.gopen(url, "rb")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
