"""The simulator's modules import each other without a circle, also where only a type is taken."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Dict, List, Set, Tuple

PACKAGE = Path(__file__).parents[2] / "ipu_app" / "ipumodel"
Name = Tuple[str, ...]


def modules() -> Dict[Name, Path]:
    paths = {path.relative_to(PACKAGE).with_suffix("").parts: path for path in PACKAGE.rglob("*.py")}
    return {name[:-1] if name[-1] == "__init__" else name: path for name, path in paths.items()}


def imported(name: Name, path: Path, known: Set[Name]) -> Set[Name]:
    """Modules that one imports; `from . import x` is x where x is a module, the package where it is not."""
    found = set()
    package = name if path.name == "__init__.py" else name[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1] + tuple((node.module or "").split("."))
            base = tuple(part for part in base if part)
            for alias in node.names:
                found.add(base + (alias.name,) if base + (alias.name,) in known else base)
    return found & known


def circle_from(name: Name, graph: Dict[Name, Set[Name]], trail: List[Name], done: Set[Name]) -> List[Name]:
    if name in trail:
        return trail[trail.index(name) :] + [name]
    if name not in done:
        done.add(name)
        for target in sorted(graph[name]):
            circle = circle_from(target, graph, trail + [name], done)
            if circle:
                return circle
    return []


def test_the_simulator_has_no_circle() -> None:
    paths = modules()
    graph = {name: imported(name, path, set(paths)) for name, path in paths.items()}
    assert sum(len(targets) for targets in graph.values()) > 100, "imports are not seen"
    done: Set[Name] = set()
    for name in sorted(graph):
        assert circle_from(name, graph, [], done) == []
