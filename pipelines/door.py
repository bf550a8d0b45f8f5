"""The door for files from elsewhere: what is read and was not written by this process comes in here.

A file may be anything: a named pipe that never ends, ten gigabytes of brackets, another program's JSON. It is
opened only if it is a regular file, read only up to a limit, decoded, parsed, and checked against a schema;
what does not fit is one ``BadFile`` that names the file and the key. Nothing here imports more than the
standard library, so that every package may use it; formats that need more are in ``ipu_app/files``.

A *check* takes (value, key) and returns the value, or raises ``Mismatch``: ``whole()``, ``text()``,
``list_of(text())``, ``record({...})`` and so on.
"""

from __future__ import annotations

import json
import math
import os
import stat
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Union

MEGABYTE = 1 << 20
JSON_BYTES = 64 * MEGABYTE  # index.json of 20 000 shards has 4
LINE_BYTES = MEGABYTE  # of a file with a record a line
DEPTH = 40  # lists and sections inside each other; ours have 8
_DIGITS = 400  # of a number: Python takes time by their square
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)

AnyPath = Union[str, Path]
Check = Callable[[Any, str], Any]


class BadFile(ValueError):
    """A file can not be used; one line that names it, and the key where there is one."""


class Mismatch(ValueError):
    """A value is not what the schema says; ``read_json`` and the like put the file's name before it."""


def kind_of(mode: int) -> str:
    """What a path leads to, in words, by its ``st_mode``: "a file", "a named pipe" and so on."""
    return next((name for is_kind, name in _KINDS if is_kind(mode)), "a file")


def open_plain(path: AnyPath) -> int:
    """Open a regular file for reading and return its descriptor; BadFile for anything else, unopened.

    What is not there, or may not be read, stays an OSError.
    """
    kind = kind_of(os.stat(path).st_mode)
    if kind == "a file":
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        kind = kind_of(os.fstat(descriptor).st_mode)  # it may be another by now
        if kind == "a file":
            return descriptor
        os.close(descriptor)
    raise BadFile(f"{shown(path)}: must be a file, and is {kind}")


def read_bytes(path: AnyPath, *, limit: int) -> bytes:
    """Return all of a regular file of ``limit`` bytes at most; BadFile, unread, for a larger one."""
    with os.fdopen(open_plain(path), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(limit + 1) if size <= limit else b""
    if size > limit or len(content) > limit:
        raise BadFile(f"{shown(path)}: has {max(size, len(content))} bytes; allowed are {limit}")
    return content


def decode(content: bytes, name: AnyPath) -> str:
    """Return text in UTF-8 (with or without a mark at its beginning); BadFile says where it is none."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        wide = content[:2] in (b"\xff\xfe", b"\xfe\xff")
        seems = "UTF-16" if wide else "Latin-1 or another 8-bit encoding"
        problem = f"not UTF-8 (line {line}); it seems to be {seems}: save it anew"
        raise BadFile(f"{shown(name)}: {problem}") from None


def read_text(path: AnyPath, *, limit: int = JSON_BYTES) -> str:
    """Return a text file in UTF-8."""
    return decode(read_bytes(path, limit=limit), path)


def parse_json(text: Union[str, bytes], name: AnyPath, check: Optional[Check] = None) -> Any:
    """Return what strict JSON holds (no NaN, no infinity, no name twice, not too deep), as ``check`` says."""
    if isinstance(text, bytes):
        text = decode(text, name)
    try:
        value = _DECODER.decode(text)
        _check_depth(value)
        return check(value, "") if check else value
    except Mismatch as error:
        raise BadFile(f"{shown(name)}: {error}") from None
    except RecursionError:
        raise BadFile(f"{shown(name)}: more than {DEPTH} lists and objects inside each other") from None
    except ValueError as error:
        raise BadFile(f"{shown(name)}: no JSON ({error})") from None


def read_json(path: AnyPath, check: Optional[Check] = None, *, limit: int = JSON_BYTES) -> Any:
    """Return what a JSON file holds, see ``parse_json``."""
    return parse_json(read_text(path, limit=limit), path, check)


def read_lines(path: AnyPath) -> Iterator[bytes]:
    """Yield the lines of a regular file, each cut at ``LINE_BYTES``, without their ends."""
    with os.fdopen(open_plain(path), "rb") as file:
        for line in iter(lambda: file.readline(LINE_BYTES), b""):
            yield line.rstrip(b"\r\n")


def to_json(value: Any, *, indent: Optional[int] = None) -> str:
    """Return strict JSON: what is no finite number becomes null, and odd names are escaped."""
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def shown(name: Any, limit: int = 300) -> str:
    """Return a name from elsewhere as one line that any terminal can show."""
    text = os.fsdecode(name) if isinstance(name, (bytes, os.PathLike)) else str(name)
    text = "".join(letter if letter.isprintable() else _escaped(letter) for letter in text)
    return text if len(text) <= limit else f"{text[: limit // 2]}...{text[-limit // 2 :]}"


def _escaped(letter: str) -> str:
    if "\udc80" <= letter <= "\udcff":  # a byte of a name that is no UTF-8
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode("ascii")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def _int(text: str) -> int:
    if len(text) > _DIGITS:
        raise Mismatch(f"a number of {len(text)} digits; allowed are {_DIGITS}")
    return int(text)


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise Mismatch(f"the number {shown(text, 40)} is too large")
    return value


def _refuse_constant(text: str) -> Any:
    raise Mismatch(f"{text} is no number in JSON")


def _object(pairs: Sequence[Any]) -> Dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Mismatch(f"{shown(twice, 80)}: there twice")
    return found


_DECODER = json.JSONDecoder(
    parse_int=_int, parse_float=_float, parse_constant=_refuse_constant, object_pairs_hook=_object
)


def _check_depth(value: Any) -> None:
    level: List[Any] = [value]
    for _ in range(DEPTH):
        inner = [item for item in level if isinstance(item, (dict, list))]
        level = [part for item in inner for part in (item.values() if isinstance(item, dict) else item)]
        if not level:
            return
    raise Mismatch(f"more than {DEPTH} lists and objects inside each other")


def key_of(outer: str, key: Any) -> str:
    """Return the dotted key of ``key`` inside ``outer``."""
    name = shown(key, 80)
    return f"{outer}.{name}" if outer else name


def _refuse(value: Any, key: str, allowed: str) -> Mismatch:
    given = {dict: "an object", list: "a list", type(None): "null"}.get(type(value))
    given = given or shown(json.dumps(value) if isinstance(value, str) else value, 80)
    return Mismatch(f"{key or 'it'}: must be {allowed}, and is {given}")


def whole(low: int = 0, high: int = 2**53) -> Check:
    """A whole number from ``low`` to ``high``."""

    def check(value: Any, key: str) -> Any:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise _refuse(value, key, f"a whole number from {low} to {high}")
        return value

    return check


def number(low: float = -math.inf, high: float = math.inf) -> Check:
    """A finite number from ``low`` to ``high``."""

    def check(value: Any, key: str) -> Any:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            bounds = "a number" if (low, high) == (-math.inf, math.inf) else f"a number from {low} to {high}"
            raise _refuse(value, key, bounds)
        return value

    return check


def text(most: int = 4096) -> Check:
    """Text of ``most`` letters at most."""

    def check(value: Any, key: str) -> Any:
        if not isinstance(value, str) or len(value) > most:
            raise _refuse(value, key, f"text of at most {most} letters")
        return value

    return check


def flag() -> Check:
    """True or false."""

    def check(value: Any, key: str) -> Any:
        if not isinstance(value, bool):
            raise _refuse(value, key, "true or false")
        return value

    return check


def anything() -> Check:
    """Any value."""
    return lambda value, key: value


def one_of(allowed: Sequence[str]) -> Check:
    """One of these words."""

    def check(value: Any, key: str) -> Any:
        if not isinstance(value, str) or value not in allowed:
            raise _refuse(value, key, f"one of {', '.join(allowed)}")
        return value

    return check


def equal(wanted: Any) -> Check:
    """Exactly this value, such as the version of a format."""

    def check(value: Any, key: str) -> Any:
        if value != wanted or isinstance(value, bool) != isinstance(wanted, bool):
            raise _refuse(value, key, f"{wanted!r} for this version of the program")
        return value

    return check


def maybe(inner: Check) -> Check:
    """Null, or what ``inner`` takes."""
    return lambda value, key: None if value is None else inner(value, key)


def list_of(inner: Check, most: int = 10**6) -> Check:
    """A list of ``most`` values at most, each as ``inner`` says."""

    def check(value: Any, key: str) -> Any:
        if not isinstance(value, list) or len(value) > most:
            raise _refuse(value, key, f"a list of at most {most} values")
        return [inner(item, f"{key}[{place}]") for place, item in enumerate(value)]

    return check


def table_of(inner: Check, most: int = 10**6) -> Check:
    """An object with names of any kind, each value as ``inner`` says."""

    def check(value: Any, key: str) -> Any:
        if not isinstance(value, dict) or len(value) > most:
            raise _refuse(value, key, "an object")
        return {name: inner(item, key_of(key, name)) for name, item in value.items()}

    return check


def record(
    required: Mapping[str, Check], optional: Optional[Mapping[str, Check]] = None, *, closed: bool = False
) -> Check:
    """An object with these names; others are kept as they are, or refused where it is ``closed``."""
    known = {**required, **(optional or {})}

    def check(value: Any, key: str) -> Any:
        if not isinstance(value, dict):
            raise _refuse(value, key, "an object")
        missing = next((name for name in required if name not in value), None)
        if missing is not None:
            raise Mismatch(f"{key_of(key, missing)}: is missing")
        unknown = next((name for name in value if name not in known), None)
        if closed and unknown is not None:
            raise Mismatch(f"{key_of(key, unknown)}: unknown key; allowed are {', '.join(known)}")
        return {
            name: known[name](item, key_of(key, name)) if name in known else item
            for name, item in value.items()
        }

    return check
