"""Do all processes of a job see the same things? Asked at start, before anything is computed.

A process with another configuration, code version or data manifest would train something else, or hang the
job at the first collective that only some of them call. Every process gets the same refusal, so all of them
end.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import List, Mapping

from ipu_app.distributed.comm import Comm

SHOWN_CHARACTERS = 120


def check_same(comm: Comm, facts: Mapping[str, str]) -> None:
    """Refuse (ValueError, on every process) facts that are not equal everywhere: ``{"config": text, ...}``.

    The message names the fact, the ranks that differ from rank 0, and the first line that differs. Only
    digests travel unless something differs.
    """
    names = comm.gather_strings("\n".join(sorted(facts)))
    _refuse_difference(comm, "list of facts", "\n".join(sorted(facts)), names)
    for name in sorted(facts):
        digests = comm.gather_strings(digest(facts[name]))
        _refuse_difference(comm, name, facts[name], digests)


def _refuse_difference(comm: Comm, name: str, text: str, gathered: List[str]) -> None:
    if len(set(gathered)) == 1:
        return
    expected = comm.broadcast_state(text)
    lines = comm.gather_strings(_first_difference(expected, text))
    other = next(rank for rank, line in enumerate(lines) if line)
    ranks = ", ".join(str(rank) for rank, line in enumerate(lines) if line)
    raise ValueError(f"{name} differs from rank 0's on rank {ranks}; rank {other}: {lines[other]}")


def _first_difference(expected: str, text: str) -> str:
    """Describe the first line that differs; empty where none does."""
    if expected == text:
        return ""
    ours, theirs = text.splitlines(), expected.splitlines()
    for number, (our, their) in enumerate(zip(ours, theirs), start=1):
        if our != their:
            return f"line {number} is {our[:SHOWN_CHARACTERS]!r} instead of {their[:SHOWN_CHARACTERS]!r}"
    return f"it has {len(ours)} lines instead of {len(theirs)}"


def digest(text: str) -> str:
    """Return the SHA-256 of a text, as hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def code_version(*packages: Path) -> str:
    """Return one line per Python file below these folders, "name digest": what the processes compare as
    code.

    A digest of the files, not a version number: it also sees an edit that nobody committed on one of the
    hosts.
    """
    lines = []
    for package in packages:
        for path in sorted(package.rglob("*.py")):
            lines.append(f"{path.relative_to(package.parent).as_posix()} {digest(path.read_text('utf-8'))}")
    return "\n".join(lines)
