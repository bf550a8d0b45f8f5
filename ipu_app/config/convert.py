"""Plain data to frozen dataclasses and back: unknown keys and wrong types are refused by their full name."""

from __future__ import annotations

import dataclasses
import difflib
import re
from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    Mapping,
    Optional,
    Tuple,
    Type,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from ipu_app.files.yaml_file import Word

T = TypeVar("T")

_SCALARS = {int: "a whole number", float: "a finite number", str: "text", bool: "true or false"}
_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_LARGEST = {int: 2**63, float: float("inf")}


def to_section(cls: Type[T], data: Any, path: str = "") -> T:
    """Build the dataclass ``cls`` from a mapping; ``path`` is the dotted key of the section, for messages."""
    if not isinstance(data, Mapping):
        raise ValueError(f"{path or 'configuration'}={data!r}: must be a section (keys and values)")
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in data:
        if key not in fields:
            raise ValueError(f"{_join(path, str(key))}: unknown key; {_meant(cls, str(key), path)}")
    hints = get_type_hints(cls)
    values = {key: _convert(hints[key], value, _join(path, key)) for key, value in data.items()}
    return cls(**values)


def leaf_keys(cls: Any, path: str = "") -> Iterator[str]:
    """Yield the dotted keys of all values below a section; named sections are called ``train``."""
    hints = get_type_hints(cls)
    for field in dataclasses.fields(cls):
        hint, key = hints[field.name], _join(path, field.name)
        if get_origin(hint) is dict:
            hint, key = get_args(hint)[1], f"{key}.train"
        if dataclasses.is_dataclass(hint):
            yield from leaf_keys(hint, key)
        else:
            yield key


def _meant(cls: Any, key: str, path: str) -> str:
    """Return where a key of this name, or of like spelling, is; else all that are allowed here."""
    names = sorted(field.name for field in dataclasses.fields(cls))
    leaves = {leaf: leaf.rpartition(".")[2] for leaf in leaf_keys(cls)}
    near = difflib.get_close_matches(key, [*names, *leaves.values()], 2, cutoff=0.75)
    found = [name for name in names if name in near] + [leaf for leaf, last in leaves.items() if last in near]
    meant = list(dict.fromkeys(_join(path, name) for name in found))[:3]
    return f"did you mean {' or '.join(meant)}?" if meant else f"allowed here are {', '.join(names)}"


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
    found = {}
    for name, section in value.items():
        if section is not None and not isinstance(section, Mapping):
            raise ValueError(f"{path}.{name}={section!r}: must be a section (keys and values)")
        found[str(name)] = to_section(cls, {**dict(section or {}), "name": str(name)}, f"{path}.{name}")
    return found


def _to_scalar(hint: Any, value: Any, path: str) -> Any:
    """Return what a word, or a value of Python's, is for a setting of this type."""
    found = _READ[hint](str(value)) if isinstance(value, Word) else _same_kind(hint, value)
    if found is None or hint in (int, float) and not abs(found) < _LARGEST[hint]:
        raise ValueError(f"{path}={value!r}: must be {_SCALARS[hint]}")
    return found


def _same_kind(hint: Any, value: Any) -> Any:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is float and is_number:
        return float(value)
    if hint is str and is_number:
        return str(value)
    if hint is str and isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, hint) and (hint is not int or is_number) else None


def _read_int(text: str) -> Optional[int]:
    return int(text) if re.fullmatch(r"[-+]?\d[\d_]{0,40}", text) else None


def _read_float(text: str) -> Optional[float]:
    number = re.fullmatch(r"[-+]?(\d[\d_]*\.?\d*|\.\d+)([eE][-+]?\d+)?", text) and len(text) < 100
    return float(text) if number else None


_READ: Dict[Any, Callable[[str], Any]] = {
    int: _read_int,
    float: _read_float,
    bool: lambda text: _BOOLEANS.get(text.lower()),
    str: lambda text: text,
}
