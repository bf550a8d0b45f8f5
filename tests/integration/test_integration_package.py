"""The wheel: holds the configurations, and its command works outside the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import List

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("ipu_app", "pipelines", "configs")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel holds; built from a copy, because building leaves files behind."""
    pytest.importorskip("wheel")
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    for name in PARTS:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for file in [
        *ROOT.glob("requirements*.txt"),
        *(ROOT / n for n in ("pyproject.toml", "setup.py", "README.md")),
    ]:
        shutil.copy(file, source)
    words = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        "dist",
        ".",
    ]
    subprocess.run(words, cwd=source, check=True, timeout=300)
    with zipfile.ZipFile(next((source / "dist").glob("*.whl"))) as wheel:
        wheel.extractall(target)
    return target


def test_the_command_finds_its_recipes_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": str(installed)}
    words = [sys.executable, "-m", "ipu_app", "train", "--run", "b0-g16-ln_pn-half", "--print-config"]
    done = subprocess.run(words, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "resolution: 160" in done.stdout and not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [["--run", "b0-g16-gn-native"], ["--model", "b0", "--group", "1", "16"]])
def test_plans_know_what_was_published_outside_the_checkout(
    words: List[str], installed: Path, tmp_path: Path
) -> None:
    environ = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-m", "ipu_app", "plan", *words]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_every_configuration_is_inside_and_there_is_a_command(installed: Path) -> None:
    inside = {
        str(path.relative_to(installed / "ipu_app")) for path in installed.glob("ipu_app/configs/**/*.yaml")
    }
    assert inside == {str(path.relative_to(ROOT)) for path in ROOT.glob("configs/**/*.yaml")}
    entry = next(installed.glob("*.dist-info/entry_points.txt")).read_text(encoding="utf-8")
    assert "ipu-app = ipu_app.__main__:main" in entry
