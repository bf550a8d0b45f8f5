"""Every public name of PopTorch that a convolutional trainer or its users reach: same kind, parameters and
defaults.

The list is ``poptorch_surface.json``; what is left out of it is named there, with the reason.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import json
from pathlib import Path
from typing import Any, Dict, List

import pytest

SURFACE = json.loads(Path(__file__).with_name("poptorch_surface.json").read_text(encoding="utf-8"))
ENTRIES: List[Dict[str, Any]] = SURFACE["entries"]
CALLABLES = [entry for entry in ENTRIES if "parameters" in entry]


def named(entry: Dict[str, Any]) -> str:
    return entry["name"]


def find(poptorch: Any, name: str) -> Any:
    """The object with that dotted name; members of classes unbound, so properties stay properties."""
    found = poptorch
    for part in name.split("."):
        if inspect.isclass(found):
            found = _class_member(found, part)
        elif found is poptorch and part in ("options", "optim", "profiling", "testing", "_options_impl"):
            found = importlib.import_module(f"{poptorch.__name__}.{part}")
        else:
            found = getattr(found, part)
    return found


def _class_member(cls: Any, name: str) -> Any:
    member = inspect.getattr_static(cls, name)
    return member.__func__ if isinstance(member, (staticmethod, classmethod)) else member


def parameters_of(target: Any) -> List[str]:
    """Parameters as the list writes them: ``a``, ``a=1``, ``*a``, ``**a``, and ``*`` before keyword-only
    ones."""
    # A class by its __init__: in Python 3.8 a generic class has a __new__ that hides it.
    target = target.__init__ if inspect.isclass(target) else target
    written: List[str] = []
    has_star = False
    for parameter in inspect.signature(target).parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not has_star:
            written.append("*")
        has_star = has_star or parameter.kind in (
            inspect.Parameter.KEYWORD_ONLY,
            inspect.Parameter.VAR_POSITIONAL,
        )
        written.append(_written(parameter))
    return written


def _written(parameter: inspect.Parameter) -> str:
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}.get(
        parameter.kind, ""
    )
    if parameter.default is inspect.Parameter.empty:
        return stars + parameter.name
    return f"{stars}{parameter.name}={shown(parameter.default)}"


def shown(value: Any) -> str:
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    return repr(value)


@pytest.mark.parametrize("entry", CALLABLES, ids=named)
def test_parameters_and_defaults(poptorch: Any, entry: Dict[str, Any]) -> None:
    assert parameters_of(find(poptorch, entry["name"])) == entry["parameters"]


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e["kind"] == "enum"], ids=named)
def test_enumerations(poptorch: Any, entry: Dict[str, Any]) -> None:
    members = {name: member.value for name, member in find(poptorch, entry["name"]).__members__.items()}
    assert members == entry["members"]


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e["kind"] == "property"], ids=named)
def test_properties(poptorch: Any, entry: Dict[str, Any]) -> None:
    member = find(poptorch, entry["name"])
    assert isinstance(member, property)
    assert (member.fset is not None) == entry.get("settable", False)


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e["kind"] == "exception"], ids=named)
def test_exceptions(poptorch: Any, entry: Dict[str, Any]) -> None:
    error = find(poptorch, entry["name"])
    assert [base.__name__ for base in error.__bases__] == entry["bases"]
    assert not issubclass(error, RuntimeError)


@pytest.mark.parametrize("entry", [e for e in ENTRIES if "stored" in e], ids=named)
def test_stored_defaults(poptorch: Any, entry: Dict[str, Any]) -> None:
    options = poptorch.Options()
    groups = {
        "options._TrainingOptions": options.Training,
        "options._DistributedOptions": options.Distributed,
    }
    stored = groups.get(entry["name"], options)
    values = {}
    for name, written in entry["stored"].items():
        value = getattr(stored, name)
        values[name] = (
            f"{shown(value)}.value" if isinstance(value, enum.Enum) and ".value" in written else value
        )
    assert {name: _plain(value) for name, value in values.items()} == {
        name: _evaluated(poptorch, written) for name, written in entry["stored"].items()
    }


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, enum.IntEnum) else value


def _evaluated(poptorch: Any, written: str) -> Any:
    """A default as the list writes it: a literal, ``Enum.Member`` or ``Enum.Member.value``."""
    parts = written.split(".")
    if len(parts) > 1 and parts[0].isidentifier():
        return int(getattr(getattr(poptorch, parts[0]), parts[1]))
    return json.loads(written.replace("'", '"').replace("True", "true").replace("False", "false"))


def test_every_entry_is_compared_or_found(poptorch: Any) -> None:
    for entry in ENTRIES:
        assert find(poptorch, entry["name"]) is not None


def test_what_is_left_out_has_a_reason() -> None:
    for group in SURFACE["left_out"]:
        assert group["names"] and len(group["reason"]) > 15
    left_out = {name for group in SURFACE["left_out"] for name in group["names"]}
    assert not left_out & {entry["name"] for entry in ENTRIES}
    assert len(left_out) + len(ENTRIES) == 272
