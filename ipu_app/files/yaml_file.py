"""YAML from elsewhere as plain sections, lists, None and ``Word``s: what a word means, a setting says.

YAML reads ``off`` as false, ``007`` as 7 and ``12:30`` as 750. Here a value without quotes stays the word it
is until a setting's type is known (``ipu_app/config/convert.py``). Nothing is made from tags; nesting, size
and what aliases multiply are bounded before anything is built.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple, Union

from pipelines.door import DEPTH, MEGABYTE, BadFile, read_text, shown

MOST_BYTES = MEGABYTE
MOST_VALUES = 20_000  # of a file, those that aliases repeat included
_NULLS = ("", "~", "null", "Null", "NULL")
_TEXT_TAG = "tag:yaml.org,2002:str"


class Word(str):
    """A value that was written without quotes, as it was written."""


Plain = Union[None, str, List[Any], Dict[str, Any]]


def read_yaml(path: Path) -> Plain:
    """Return what a YAML file holds; BadFile names it and the line of what is wrong."""
    return parse_yaml(read_text(path, limit=MOST_BYTES), path)


def parse_yaml(text: str, name: Any) -> Plain:
    """Return what a YAML text holds: tables with text as keys, lists, ``Word``s and (quoted) text."""
    import yaml

    try:
        found: Plain = _Reader(yaml.parse(text, Loader=yaml.SafeLoader), name).document()
        return found
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        problem = getattr(error, "problem", None) or shown(str(error).splitlines()[0])
        raise BadFile(f"{shown(name)}: {problem}{where}") from None
    except RecursionError:
        raise BadFile(f"{shown(name)}: more than {DEPTH} lists and sections inside each other") from None


class _Reader:
    """Builds plain data from YAML's events, and counts as it goes."""

    def __init__(self, events: Iterator[Any], name: Any) -> None:
        self._events, self._name = events, name
        self._anchors: Dict[str, Tuple[Any, int]] = {}
        self._values = 0

    def document(self) -> Plain:
        next(self._events)  # the stream's start
        event = next(self._events)
        if self._is(event, "StreamEnd"):
            return None
        value: Plain = self._value(next(self._events), 0)
        next(self._events)  # the document's end
        event = next(self._events)
        if not self._is(event, "StreamEnd"):
            raise self._problem(event, "a second document; give one")
        return value

    def _value(self, event: Any, depth: int) -> Any:
        if depth > DEPTH:
            raise self._problem(event, f"more than {DEPTH} lists and sections inside each other")
        if self._is(event, "Alias"):
            if event.anchor not in self._anchors:
                raise self._problem(event, f"*{shown(event.anchor, 40)}: nothing of that name before it")
            value, size = self._anchors[event.anchor]
            self._count(event, size)
            return value
        if event.tag not in (None, "!", _TEXT_TAG):
            raise self._problem(event, f"tag {shown(event.tag, 60)}: tags are not taken")
        before = self._values
        self._count(event, 1)
        value = self._built(event, depth)
        if event.anchor:
            self._anchors[event.anchor] = value, self._values - before
        return value

    def _built(self, event: Any, depth: int) -> Any:
        if self._is(event, "Scalar"):
            if not event.implicit[0] or event.tag == _TEXT_TAG:
                return event.value
            return None if event.value in _NULLS else Word(event.value)
        if self._is(event, "SequenceStart"):
            return [self._value(item, depth + 1) for item in iter(lambda: self._next("SequenceEnd"), None)]
        return self._section(depth)

    def _section(self, depth: int) -> Dict[str, Any]:
        found: Dict[str, Any] = {}
        merged: Dict[str, Any] = {}
        for event in iter(lambda: self._next("MappingEnd"), None):
            key = self._value(event, depth + 1)
            if not isinstance(key, str):
                raise self._problem(event, "a key must be a word")
            value = self._value(next(self._events), depth + 1)
            if isinstance(key, Word) and key == "<<":
                for part in value if isinstance(value, list) else [value]:
                    if not isinstance(part, dict):
                        raise self._problem(event, "<<: must be a section")
                    merged = {**part, **merged}
                continue
            if key in found:
                raise self._problem(event, f"found duplicate key {shown(key, 80)}")
            found[str(key)] = value
        return {**merged, **found}

    def _next(self, end: str) -> Any:
        event = next(self._events)
        return None if self._is(event, end) else event

    def _count(self, event: Any, more: int) -> None:
        self._values += more
        if self._values > MOST_VALUES:
            raise self._problem(event, f"more than {MOST_VALUES} values")

    def _problem(self, event: Any, problem: str) -> BadFile:
        return BadFile(f"{shown(self._name)}: {problem} (line {event.start_mark.line + 1})")

    @staticmethod
    def _is(event: Any, kind: str) -> bool:
        return type(event).__name__ == f"{kind}Event"
