"""Options from text: a file of option calls (loadFromFile) and a JSON object (POPTORCH_DEFAULT_OPTIONS).

Lines are read with ``ast`` and not executed: a call of an option whose arguments are literals, names below
``poptorch`` (enumerations, strategies) or calls of those.
"""

from __future__ import annotations

import ast
import os
import sys
from typing import Any, Dict

from .._errors import ConfigFileError
from ..enums import BY_NAME


def apply_file(options: Any, filepath: str) -> None:
    """Make the option calls in a file: one a line, without ``options.``; blank lines and # comments are
    skipped."""
    name = os.path.basename(filepath)
    with open(filepath, encoding="utf-8") as lines:
        texts = [line.strip() for line in lines]
    calls = [_parse(text, number, name) for number, text in enumerate(texts, start=1)]
    for number, call in enumerate(calls, start=1):
        if call is not None:
            _apply_line(call, options, f"line {number} of {name}", texts[number - 1])


def apply_json(options: Any, values: Dict[str, Any]) -> None:
    """Make one call per entry: {"deviceIterations": 2, "_Popart.set": ["key", 1], "outputMode":
    "OutputMode.All"}."""
    for path, value in values.items():
        setter = options
        for part in path.split("."):
            setter = getattr(setter, part)
        arguments = value if isinstance(value, list) else [value]
        setter(*(_as_enum(argument) for argument in arguments))


def _parse(line: str, number: int, name: str) -> Any:
    if not line or line.startswith("#"):
        return None
    try:
        tree = ast.parse(f"options.{line}", mode="eval").body
    except SyntaxError as error:
        raise ConfigFileError(
            f"SyntaxError at line {number} of {name}: {error.msg}\n> options.{line}"
        ) from error
    if not isinstance(tree, ast.Call):
        raise ConfigFileError(f"Line {number} of {name} is no option call\n> options.{line}")
    return tree


def _apply_line(call: ast.Call, options: Any, where: str, text: str) -> None:
    """Make one call; whatever is wrong with it is an error of the file."""
    try:
        _evaluate(call, options)
    except Exception as error:
        raise ConfigFileError(f"{type(error).__name__} at {where}: {error}\n> options.{text}") from error


def _evaluate(node: Any, options: Any) -> Any:
    if isinstance(node, ast.Call):
        arguments = [_evaluate(item, options) for item in node.args]
        named = {item.arg: _evaluate(item.value, options) for item in node.keywords if item.arg}
        return _evaluate(node.func, options)(*arguments, **named)
    if isinstance(node, ast.Attribute):
        return getattr(_evaluate(node.value, options), node.attr)
    if isinstance(node, ast.Name):
        return _names(options)[node.id] if node.id in _names(options) else _unknown(node.id)
    if isinstance(node, (ast.List, ast.Tuple)) and not _is_literal(node):
        return [_evaluate(item, options) for item in node.elts]
    return ast.literal_eval(node)


def _is_literal(node: ast.AST) -> bool:
    return not any(isinstance(item, (ast.Name, ast.Call, ast.Attribute)) for item in ast.walk(node))


def _names(options: Any) -> Dict[str, Any]:
    return {"options": options, "poptorch": sys.modules[str(__package__).rpartition(".")[0]]}


def _unknown(name: str) -> Any:
    raise NameError(f"name '{name}' is not defined")


def _as_enum(value: Any) -> Any:
    """ "ConnectionType.OnDemand" (or with poptorch. in front) is that member; anything else is left as it
    is."""
    if not isinstance(value, str) or "." not in value:
        return value
    kind, _, member = value.replace("poptorch.", "").rpartition(".")
    return getattr(BY_NAME.get(kind), member, value)
