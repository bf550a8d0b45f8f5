"""Small PopTorch programs, written from the documented rules alone, each with its expected outcome.

A file in ``programs/`` defines ``program(poptorch)`` and either ``RETURNS`` (what it returns, tensors as
nested lists) or ``RAISES`` (exception and a part of its text). ``SIMULATOR_ONLY`` says why a program can not
run on the SDK here.
"""

from __future__ import annotations

import builtins
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any, Tuple

import pytest
import torch

from ipu_app.runtime.poptorch_api import PopTorchApi

PROGRAMS = sorted((Path(__file__).parent / "programs").glob("*.py"))


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"program_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def plain(value: Any) -> Any:
    """Tensors as nested lists, tuples as lists."""
    if isinstance(value, torch.Tensor):
        return value.detach().tolist()
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def assert_same(found: Any, expected: Any) -> None:
    if isinstance(expected, list):
        assert isinstance(found, list) and len(found) == len(expected), f"{found} != {expected}"
        for mine, theirs in zip(found, expected):
            assert_same(mine, theirs)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-6)
    else:
        assert found == expected


def exception_named(poptorch: Any, name: str) -> Any:
    return (
        getattr(poptorch, name[len("poptorch.") :])
        if name.startswith("poptorch.")
        else getattr(builtins, name)
    )


def assert_raises(poptorch: Any, module: ModuleType, expected: Tuple[str, str]) -> None:
    name, part = expected
    kind = exception_named(poptorch, name)
    try:
        module.program(poptorch)
    except Exception as error:
        assert isinstance(error, kind), f"{name} was expected, not {type(error).__name__}: {error}"
        assert part in str(error)
    else:
        pytest.fail(f"{name} was expected, but nothing was raised")


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_program(api: PopTorchApi, path: Path) -> None:
    module = load(path)
    if api.kind == "sdk" and hasattr(module, "SIMULATOR_ONLY"):
        pytest.skip(module.SIMULATOR_ONLY)
    assert hasattr(module, "RAISES") != hasattr(module, "RETURNS")
    if hasattr(module, "RAISES"):
        assert_raises(api.poptorch, module, module.RAISES)
    else:
        assert_same(plain(module.program(api.poptorch)), module.RETURNS)


def test_there_are_fifty_of_them() -> None:
    assert len(PROGRAMS) >= 50
