"""The members of a tar archive from elsewhere, header by header (POSIX.1-2001, GNU's long names).

Python's tarfile reads as much as a header tells it to, keeps every member, and ends quietly where an archive
was cut between two of them. This walk takes 512 bytes at a time, bounds what names and attributes may take,
and says how the archive ended.
"""

from __future__ import annotations

import os
from typing import Dict, Iterator, NamedTuple, Optional, Tuple, Union

BLOCK = 512
MOST_MEMBERS = 5_000_000  # of one archive
MOST_EXTRA_BYTES = 1 << 20  # of a long name, or of attributes
MOST_ZEROS = 1 << 24  # bytes looked through after the end mark: archives are padded to 10 kB
_FILES = b"0\0" + b"7"
_LONG_NAME, _LONG_LINK, _ATTRIBUTES, _GLOBAL, _SPARSE = b"L", b"K", b"x", b"g", b"S"
_EXTRA = (_LONG_NAME, _LONG_LINK, _ATTRIBUTES, _GLOBAL)


class Member(NamedTuple):
    """One member: ``name`` as it is stored, where its content begins and its size, both in bytes.

    ``kind``: "file", or what else it is ("folder", "link", "sparse file", "other").
    """

    name: str
    offset: int
    size: int
    kind: str


class Damage(NamedTuple):
    """How an archive ended that did not end well; ``offset`` in bytes."""

    problem: str
    offset: int


class NoTarError(ValueError):
    """The first block is no header: this is no tar archive."""


def walk(descriptor: int) -> Iterator[Union[Member, Damage]]:
    """Yield the members of an open file; at most one Damage, as the last. NoTarError for another format."""
    end, at = os.fstat(descriptor).st_size, 0
    extra: Dict[str, str] = {}
    for _ in range(MOST_MEMBERS):
        block, at, ended = _next_block(descriptor, at)
        header = _header(block)
        if header is None:
            if at == 0:
                raise NoTarError("its first block is no tar header")
            yield from _how_it_ends(block, at, ended, end)
            return
        start, size = at + BLOCK, int(extra.get("size", header.size))
        at = start + -(-size // BLOCK) * BLOCK
        if start + size > end:
            yield Damage("cut: it ends within a member", start)
            return
        if header.type not in _EXTRA:
            yield Member(extra.get("path", header.name), start, size, extra.get("kind", header.kind))
            extra = {}
        elif size <= MOST_EXTRA_BYTES:
            extra.update(_extra(header.type, os.pread(descriptor, size, start)))
        else:
            yield Damage(f"damaged: {size} bytes of names or attributes", start)
            return
    yield Damage(f"more than {MOST_MEMBERS} members", at)


def _next_block(descriptor: int, at: int) -> Tuple[bytes, int, bool]:
    """The next block that is not all zeros, where it is, and whether zeros (an end mark) came before it.

    Zeros are looked through, as another archive may have been put behind.
    """
    block, first = os.pread(descriptor, BLOCK, at), at
    while block and not block.strip(b"\0") and at - first <= MOST_ZEROS:
        at += len(block)
        block = os.pread(descriptor, BLOCK, at)
    return block, at, at > first


def _how_it_ends(block: bytes, at: int, ended: bool, end: int) -> Iterator[Damage]:
    if ended and block:
        yield Damage(f"{end - at} bytes that are no archive follow its end", at)
    elif not ended:
        problem = "it ends without an end mark" if not block else "it ends within a header"
        yield Damage(f"cut: {problem}" if len(block) < BLOCK else "damaged: no header", at)


class _Header(NamedTuple):
    name: str
    size: int
    type: bytes

    @property
    def kind(self) -> str:
        if self.type in _FILES and not self.name.endswith("/"):
            return "file"
        kinds = {b"5": "folder", b"1": "link", b"2": "link", _SPARSE: "sparse file"}
        return "folder" if self.name.endswith("/") else kinds.get(self.type, "other")


def _header(block: bytes) -> Optional[_Header]:
    """The header in a block of 512 bytes; None where its checksum is not right."""
    if len(block) < BLOCK:
        return None
    stored = _number(block[148:156])
    size = _number(block[124:136])
    unsigned = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    if size is None or size < 0 or stored != unsigned and stored != _signed_sum(block, unsigned):
        return None
    name, prefix = _text(block[:100]), _text(block[345:500]) if block[257:263] == b"ustar\0" else ""
    return _Header(f"{prefix}/{name}" if prefix else name, size, block[156:157])


def _signed_sum(block: bytes, unsigned: int) -> int:
    """The checksum as old programs made it, of signed bytes."""
    return unsigned - 256 * sum(byte > 127 for byte in block[:148] + block[156:])


def _number(field: bytes) -> Optional[int]:
    """A number in octal digits, or (GNU) in binary; None for neither."""
    if field[0] in (0x80, 0xFF):
        return int.from_bytes(field[1:], "big") - (256 ** (len(field) - 1) if field[0] == 0xFF else 0)
    digits = field.split(b"\0")[0].strip(b" ")
    if not digits:
        return 0
    return int(digits, 8) if digits.isdigit() and b"8" not in digits and b"9" not in digits else None


def _text(field: bytes) -> str:
    return os.fsdecode(field.split(b"\0")[0])


def _extra(kind: bytes, content: bytes) -> Dict[str, str]:
    """What a long name or a block of attributes says of the next member: path, size, kind, if it does."""
    if kind == _LONG_NAME:
        return {"path": _text(content)}
    if kind != _ATTRIBUTES:
        return {}
    found: Dict[str, str] = {}
    while content:
        length, _, _ = content.partition(b" ")
        if not length.isdigit() or len(length) > 8 or not len(length) < int(length) <= len(content):
            break
        line, content = content[len(length) + 1 : int(length) - 1], content[int(length) :]
        key, _, value = line.partition(b"=")
        if key.startswith(b"GNU.sparse."):
            found["kind"] = "sparse file"
        elif key == b"path":
            found["path"] = _text(value)
        elif key == b"size" and value.isdigit() and len(value) < 16:
            found["size"] = value.decode()
    return found


COMPRESSED = {
    b"\x1f\x8b": ("gzip", "gunzip"),
    b"BZh": ("bzip2", "bunzip2"),
    b"\xfd7zXZ": ("xz", "unxz"),
    b"\x28\xb5\x2f\xfd": ("zstandard", "unzstd"),
    b"\x04\x22\x4d\x18": ("lz4", "unlz4"),
    b"PK\x03\x04": ("zip", "unzip"),
}


def other_format(first: bytes) -> str:
    """What a file that is no tar seems to be by its first bytes, in words; '' where that is not known."""
    for magic, (name, command) in COMPRESSED.items():
        if first.startswith(magic):
            return f"it is compressed ({name}); images are read in any order, so unpack it with {command}"
    start = first.lstrip()[:64].lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "it is a web page"
    return "it is JSON" if start.startswith(b"{") else ""
