"""The floor plan, read from the source: no circle, nothing loose at the root, no name twice."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Set

import pytest

from ipu_app.config import kinds

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("ipu_app", "pipelines", "benchmarks")
# what may stand at a package's root besides its rooms
AT_ROOT = {
    "ipu_app": {"__init__", "__main__", "api", "build", "compat", "environment", "errors"},
    "benchmarks": {"__init__", "__main__", "keeper", "suites"},
}
ROOMS = {
    "ipu_app": {
        "cli",
        "config",
        "data",
        "distributed",
        "files",
        "inference",
        "ipumodel",
        "models",
        "runs",
        "runtime",
        "search",
        "settling",
        "training",
    },
    "benchmarks": {"evidence", "measure", "published", "report", "scaling", "soak"},
    "pipelines": {"cost"},
}


def modules(package: str) -> Dict[str, Path]:
    """Dotted name -> file; a room's own name stands for its ``__init__``."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    """The modules of ours that a file imports anywhere; a name of a module means it, not its package."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = path.relative_to(ROOT).with_suffix("").parts[: -node.level]
                base = ".".join([*package, *([base] if base else [])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                if full in known or base in known:
                    yield full if full in known else base


def circles(edges: Mapping[str, Set[str]]) -> List[List[str]]:
    """The strongly connected components of more than one member, by Tarjan's algorithm."""
    index: Dict[str, int] = {}
    low: Dict[str, int] = {}
    stack: List[str] = []
    found: List[List[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in sorted(edges.get(node, ())):
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            place = stack.index(node)
            component, stack[place:] = stack[place:], []
            if len(component) > 1:
                found.append(sorted(component))

    for node in sorted(edges):
        if node not in index:
            visit(node)
    return found


def graph(package: str) -> Dict[str, Set[str]]:
    known = modules(package)
    return {name: set(imported(path, known)) - {name} for name, path in known.items()}


def test_circles_are_found() -> None:
    edges = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"a"}}
    assert circles(edges) == [["b", "c"]]
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == [["a", "b", "c"]]


def names_in(path: Path) -> Set[str]:
    """What a module offers: all that it defines, imports or assigns, wherever that is."""
    found: Set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            found |= set(ast.literal_eval(node.value))  # made when they are asked for
    return found


def test_what_is_imported_is_there() -> None:
    """Also inside functions, and in the tests: a file that moved is missed where it is asked for late."""
    known = {name: path for package in PACKAGES for name, path in modules(package).items()}
    offered = {name: names_in(path) for name, path in known.items()}
    for path in [*known.values(), *(ROOT / "tests").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom):
                continue
            base = node.module or ""
            if node.level:
                package = path.relative_to(ROOT).with_suffix("").parts[: -node.level]
                base = ".".join([*package, *([base] if base else [])])
            if base.split(".")[0] not in PACKAGES:
                continue
            assert base in known, f"{path} line {node.lineno}: there is no {base}"
            missing = [a.name for a in node.names if f"{base}.{a.name}" not in known]
            missing = [name for name in missing if name not in offered[base]]
            assert not missing, f"{path} line {node.lineno}: {base} has no {missing}"


def test_what_kinds_name_is_there() -> None:
    """Rows of the tables of kinds say where their code is, in text."""
    for value in vars(kinds).values():
        if isinstance(value, dict):
            rows = [row for row in value.values() if isinstance(row, kinds.Kind)]
            homes = [text for row in rows for text in vars(row).values() if ":" in str(text)]
            for home in homes:
                if str(home).startswith(("ipu_app.", "torch.")):
                    assert kinds.load(str(home)) is not None


@pytest.mark.parametrize("package", PACKAGES)
def test_modules_import_in_no_circle(package: str) -> None:
    assert circles(graph(package)) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_rooms_import_in_no_circle(package: str) -> None:
    """A room is a folder at the package's root; what stands at the root is a room of its own."""
    rooms: Dict[str, Set[str]] = defaultdict(set)
    for name, targets in graph(package).items():
        own = ".".join(name.split(".")[:2])
        rooms[own] |= {".".join(target.split(".")[:2]) for target in targets} - {own, package}
    assert circles(rooms) == []


@pytest.mark.parametrize("package", sorted(AT_ROOT))
def test_nothing_lies_loose_at_the_root(package: str) -> None:
    loose = {path.stem for path in (ROOT / package).glob("*.py")} - AT_ROOT[package]
    assert not loose, f"{sorted(loose)}: find a room in {package}/ for what is new"


@pytest.mark.parametrize("package", sorted(ROOMS))
def test_rooms_are_known(package: str) -> None:
    rooms = {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}
    assert rooms == ROOMS[package], "a new room belongs into this list, and into the order of the floors"


def test_no_two_files_have_one_name() -> None:
    """But for the verbs of the command line, which are called like what they are the verbs of."""
    names = Counter(
        path.stem
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if not path.stem.startswith("__") and path.parent != ROOT / "ipu_app" / "cli"
    )
    twice = sorted(name for name, count in names.items() if count > 1)
    assert twice == []


@pytest.mark.parametrize("package", PACKAGES)
def test_rooms_say_what_they_are_for(package: str) -> None:
    for path in (ROOT / package).rglob("__init__.py"):
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), (
            f"{path}: a room has a docstring"
        )
