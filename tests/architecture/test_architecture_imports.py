"""Who may import whom, read from the source: the layers stay layers, optional packages stay optional."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Iterator, List, Set, Tuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("ipu_app", "pipelines", "benchmarks")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
NAMES = [str(path.relative_to(ROOT)) for path in SOURCES]

# inside ipu_app, a layer may import lower ones; packages on one level do not import each other
LEVELS = [
    {"files"},
    {"compat", "environment", "errors", "config"},
    {"models", "data", "distributed"},
    {"runtime"},
    {"training"},
    {"settling"},
    {"build"},
    {"inference"},
    {"runs"},
    {"search"},
    {"cli"},
    {"api"},
]
REQUIRED = {"torch", "numpy", "PIL"}  # the third-party packages that a module of ours may import at once
TORCH_FREE = ("pipelines", "ipu_app/config", "ipu_app/cli", "ipu_app/__main__.py")
TORCH_FREE_BUT = ("pipelines/trace.py",)
SINGLE_HOMES = {
    "horovod": {"ipu_app/distributed/horovod_comm.py"},
    "poptorch": {"ipu_app/runtime/poptorch_api.py"},
    "popdist": {"ipu_app/runtime/poptorch_api.py", "ipu_app/runtime/ipu_options.py"},
}


def imports(path: Path, *, top_level: bool) -> Iterator[str]:
    """The absolute module names that a file imports; only with the module itself where ``top_level``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes: List[ast.AST] = list(_module_level(tree)) if top_level else list(ast.walk(tree))
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from _from(node, path)


def _from(node: ast.ImportFrom, path: Path) -> Iterator[str]:
    base = node.module or ""
    if node.level:
        package = list(path.relative_to(ROOT).with_suffix("").parts[: -node.level])
        base = ".".join(package + ([base] if base else []))
    yield base
    yield from (f"{base}.{alias.name}" for alias in node.names)


def _module_level(tree: ast.Module) -> Iterator[ast.AST]:
    """Statements that run on import: not those inside functions, nor under ``if TYPE_CHECKING``."""
    queue: List[ast.AST] = list(tree.body)
    while queue:
        node = queue.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        yield node
        queue.extend(ast.iter_child_nodes(node))


def layer(parts: Tuple[str, ...]) -> str:
    return parts[1] if len(parts) > 1 and parts[0] == "ipu_app" else ""


def level_of(name: str) -> int:
    return next((i for i, names in enumerate(LEVELS) if name in names), len(LEVELS))


@pytest.mark.parametrize("path", SOURCES, ids=NAMES)
def test_layers_import_downwards_only(path: Path) -> None:
    parts = path.relative_to(ROOT).with_suffix("").parts
    own = layer(parts)
    for name in imports(path, top_level=False):
        target = tuple(name.split("."))
        if parts[0] == "pipelines":
            assert target[0] not in ("ipu_app", "benchmarks"), f"{path.name} imports {name}"
        if parts[:2] == ("pipelines", "cost"):
            assert target[0] != "pipelines" or target[1:2] in ((), ("cost",)), f"{path.name} imports {name}"
        if own == "ipumodel":
            assert target[0] not in ("pipelines", "benchmarks"), f"the simulator must not know us: {name}"
            assert target[:1] != ("ipu_app",) or target[:2] == ("ipu_app", "ipumodel") or len(target) == 1
        elif target[:2] == ("ipu_app", "ipumodel"):
            assert own == "runtime", f"only runtime/poptorch_api.py takes the simulator, not {path.name}"
        elif (
            own and own != "__init__" and len(target) > 1 and target[0] == "ipu_app" and layer(target) != own
        ):
            assert level_of(layer(target)) < level_of(own) or level_of(own) == len(LEVELS), (
                f"{path.relative_to(ROOT)} imports {name}"
            )


@pytest.mark.parametrize("path", SOURCES, ids=NAMES)
def test_optional_packages_are_imported_late(path: Path) -> None:
    ours = {"ipu_app", "pipelines", "benchmarks"}
    known: Set[str] = ours | REQUIRED | set(getattr(sys, "stdlib_module_names", ()))
    if not getattr(sys, "stdlib_module_names", None):
        pytest.skip("this Python does not list its standard library")
    for name in imports(path, top_level=True):
        assert name.split(".")[0] in known, f"{path.relative_to(ROOT)} imports {name} with the module"


@pytest.mark.parametrize("path", SOURCES, ids=NAMES)
def test_light_modules_do_not_import_torch(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    if name.startswith(TORCH_FREE) and name not in TORCH_FREE_BUT:
        heavy = {"torch", "numpy"} & {imported.split(".")[0] for imported in imports(path, top_level=True)}
        assert not heavy, f"{name} imports {heavy}"


@pytest.mark.parametrize("package", sorted(SINGLE_HOMES))
def test_vendor_packages_have_one_home(package: str) -> None:
    for path, name in zip(SOURCES, NAMES):
        if name.startswith("ipu_app/ipumodel/"):
            continue
        text = path.read_text(encoding="utf-8")
        found = package in {imported.split(".")[0] for imported in imports(path, top_level=False)}
        found = found or f'import_module("{package}' in text
        assert not found or name in SINGLE_HOMES[package], f"{name} imports {package}"


@pytest.mark.parametrize("path", SOURCES, ids=NAMES)
def test_environment_is_read_in_one_place_per_package(path: Path) -> None:
    homes = {"ipu_app/environment.py", "ipu_app/ipumodel/variables.py"}
    name = str(path.relative_to(ROOT))
    if name not in homes and not name.startswith("benchmarks/"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        reads = [
            n
            for n in ast.walk(tree)
            if isinstance(n, ast.Attribute)
            and n.attr in ("environ", "getenv")
            and isinstance(n.value, ast.Name)
            and n.value.id == "os"
        ]
        assert not reads, f"{name} line {reads[0].lineno if reads else 0} reads the environment"


@pytest.mark.parametrize("path", SOURCES, ids=NAMES)
def test_files_stay_readable(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= 400, f"{path.relative_to(ROOT)} has {lines} lines; 400 is the limit"


@pytest.mark.parametrize("path", SOURCES, ids=NAMES)
def test_torch_is_asked_for_its_version_in_compat_only(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    if name == "ipu_app/compat.py" or name.startswith(("benchmarks/", "ipu_app/ipumodel/")):
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    compares = [n for n in ast.walk(tree) if isinstance(n, ast.Compare) and "__version__" in ast.dump(n)]
    assert not compares, f"{name} compares a version"
