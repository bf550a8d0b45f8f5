"""Files behind URLs: copied to this machine once, whole or not at all, and checked by what is known of them.

HTTP is read directly; everything else (``s3:``, ``gs:``, ``hf:``, ``pipe:`` commands and so on) as the
package webdataset opens it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import http.client
import itertools
import os
import re
import ssl
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, Any, Callable, Iterator, List, NamedTuple, Optional
from urllib.parse import urlsplit

from pipelines.door import shown

from .access import PATIENCE_S

TIMEOUT_S = 30.0  # without an answer
LONGEST_PAUSE_S = 60.0  # between two tries
TRIES_OF_OTHER_CONTENT = 3  # a line may have spoilt it
_BLOCK_BYTES = 1 << 20
_WORTH_ANOTHER_TRY = (408, 429)  # HTTP: timed out, too many requests; as is any 5xx
# what a URL of other openers may hold: they hand it to a shell, between quotes
_SAFE_URL = re.compile(r"[A-Za-z0-9_.,:/@%+=~?&#!*\[\]{} -]+$")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)
Check = Callable[[Path], None]


class OtherContentError(OSError):
    """What was copied is not what an index tells of."""


class NoShardError(ValueError):
    """What was copied is another kind of file, and will be when it is asked for again."""


class Expected(NamedTuple):
    """What a file must be, None where that is not known: bytes, and sha256 as hexadecimal digits."""

    size: Optional[int] = None
    sha256: Optional[str] = None

    def check(self, size: int, sha256: str) -> None:
        """OtherContentError where the file is another."""
        if self.size is not None and size != self.size:
            raise OtherContentError(f"has {size} bytes, and by the index {self.size}")
        if self.sha256 is not None and sha256 != self.sha256:
            raise OtherContentError("is not what the index tells of: sha256 differs; was it replaced?")


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


def copy_url(  # noqa: PLR0913 (each is a choice of its own)
    url: str,
    target: Path,
    *,
    expected: Optional[Expected] = None,
    check: Optional[Check] = None,
    anew: bool = False,
    patience_s: float = PATIENCE_S,
    announcement: str = "",
) -> None:
    """Copies what ``url`` holds to ``target``, once even if several processes ask (``anew``: once for each).

    ``target`` is complete and as ``expected`` and ``check`` demand whenever it is there: ``check`` raises
    NoShardError for another kind of file, OSError for one that is not whole. A line that breaks is tried
    again for ``patience_s``. ``announcement`` goes to stderr before anything is copied. ValueError, one line,
    where the URL can not be read.
    """
    with _lock(target):
        if target.is_file() and not anew:
            return
        if announcement:
            print(shown(announcement, 1000), file=sys.stderr)
        handle, temporary = tempfile.mkstemp(dir=target.parent, suffix=".part")
        os.close(handle)
        try:
            _copy(url, Path(temporary), expected or Expected(), check, patience_s)
            os.replace(temporary, target)
        except Exception as error:  # URLs, cloud clients and pipes each raise types of their own
            raise ValueError(f"data.source={shown(url)}: can not be read ({_one_line(error)})") from error
        finally:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


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


def refresh(
    url: str, target: Path, *, check: Optional[Check] = None, patience_s: float = PATIENCE_S
) -> Optional[str]:
    """Copies a small file anew. Where that fails an older copy stays, if there is one; the note says so."""
    has_copy = target.is_file()
    try:
        copy_url(url, target, anew=True, check=check, patience_s=0.0 if has_copy else patience_s)
    except ValueError as error:
        if not has_copy:
            raise
        day = time.strftime("%Y-%m-%d %H:%M", time.localtime(target.stat().st_mtime))
        return f"{error}; the copy of {day} is used"
    return None


def _copy(url: str, path: Path, expected: Expected, check: Optional[Check], patience_s: float) -> None:
    """Writes what ``url`` holds; failures that may pass are waited for, with pauses of 1, 2, 4... 60 s."""
    began_s, waited_s, pause_s = time.monotonic(), 0.0, 1.0
    for tries in itertools.count(1):
        try:
            with open(path, "wb") as file:
                _copy_once(url, file, expected)
            if check is not None:
                check(path)
            return
        except Exception as error:  # see copy_url
            left_s = patience_s - max(waited_s, time.monotonic() - began_s)
            if not _may_pass(url, error, tries) or left_s < pause_s:
                raise
            print(f"{shown(url)}: {_one_line(error)}; trying again for {left_s:.0f} s", file=sys.stderr)
        time.sleep(pause_s)
        waited_s, pause_s = waited_s + pause_s, min(2 * pause_s, LONGEST_PAUSE_S)


def _may_pass(url: str, error: Exception, tries: int) -> bool:
    if isinstance(error, OtherContentError):
        return tries < TRIES_OF_OTHER_CONTENT
    lasting = (ValueError, FileNotFoundError, http.client.InvalidURL)
    reason = getattr(error, "reason", None)  # what urllib wraps
    if isinstance(error, lasting) or isinstance(reason, (ssl.SSLCertVerificationError, FileNotFoundError)):
        return False
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return False
    if isinstance(error, urllib.error.HTTPError):
        return error.code >= 500 or error.code in _WORTH_ANOTHER_TRY
    return not url.startswith(("pipe:", "file:"))


def _copy_once(url: str, file: IO[bytes], expected: Expected) -> None:
    digest, size = hashlib.sha256(), 0
    with contextlib.closing(_open(url)) as stream:
        announced = stream.headers.get("Content-Length") if _is_http(url) else None
        for block in iter(lambda: stream.read(_BLOCK_BYTES), b""):
            digest.update(block)
            size += len(block)
            if expected.size is not None and size > expected.size:
                break
            file.write(block)
    if announced is not None and announced.isdigit() and size < int(announced):
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
    if not url.startswith("pipe:") and not _SAFE_URL.match(url):
        raise ValueError("it holds letters that a shell would take for its own")
    import webdataset

    return webdataset.gopen(url, "rb")


def _one_line(error: Exception) -> str:
    return shown(" ".join(str(error).split())) or type(error).__name__
