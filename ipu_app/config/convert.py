"""Plain data to frozen dataclasses and back: unknown keys and wrong types are refused by their full name."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, Mapping, Tuple, Type, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

_SCALARS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def to_section(cls: Type[T], data: Any, path: str = "") -> T:
    """Build the dataclass ``cls`` from a mapping; ``path`` is the dotted key of the section, for messages."""
    if not isinstance(data, Mapping):
        raise ValueError(f"{path or 'configuration'}={data!r}: must be a section (keys and values)")
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in data:
        if key not in fields:
            allowed = ", ".join(sorted(fields))
            raise ValueError(f"{_join(path, str(key))}: unknown key; allowed here are {allowed}")
    hints = get_type_hints(cls)
    values = {key: _convert(hints[key], value, _join(path, key)) for key, value in data.items()}
    return cls(**values)


def to_plain(value: Any) -> Any:
    """Return dicts, lists and scalars for a section; the inverse of ``to_section``."""
    if dataclasses.is_dataclass(value):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_plain(item) for item in value]
    return value


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _convert(hint: Any, value: Any, path: str) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Union:  # Optional[X] is the only union that sections use
        inner = next(a for a in args if a is not type(None))
        return None if value is None else _convert(inner, value, path)
    if origin is tuple:
        return _to_tuple(args[0], value, path)
    if origin is dict:
        return _to_named_sections(args[1], value, path)
    if dataclasses.is_dataclass(hint):
        return to_section(hint, value, path)  # type: ignore[arg-type, unused-ignore]
    return _to_scalar(hint, value, path)


def _to_tuple(item_hint: Any, value: Any, path: str) -> Tuple[Any, ...]:
    items = value if isinstance(value, (list, tuple)) else [value]
    return tuple(_convert(item_hint, item, f"{path}[{i}]") for i, item in enumerate(items))


def _to_named_sections(cls: Any, value: Any, path: str) -> Dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{path}={value!r}: must be named sections")
    return {
        str(name): to_section(cls, {**dict(section or {}), "name": str(name)}, f"{path}.{name}")
        for name, section in value.items()
    }


def _to_scalar(hint: Any, value: Any, path: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is str and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)  # YAML reads an unquoted 16.32 as a number
    if hint is int and isinstance(value, bool) or not isinstance(value, hint):
        raise ValueError(f"{path}={value!r}: must be {_SCALARS[hint]}")
    return value
