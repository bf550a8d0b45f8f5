"""The image loader's contestants: those that are absent are told, and never end the others."""

from __future__ import annotations

import importlib.machinery
import sys
from typing import Any, List, Optional, Sequence

import pytest

from benchmarks.measure import decoders
from benchmarks.measure.decoders import NEEDS, describe_images, measure
from benchmarks.measure.host_facts import describe_machine
from benchmarks.measure.make_tree import photographs


class Without(importlib.machinery.PathFinder):
    """Finds what the interpreter finds, but for some packages."""

    absent: Sequence[str] = ()

    @classmethod
    def find_spec(cls, name: str, path: Any = None, target: Any = None) -> Any:
        """Find a module."""
        if name.split(".")[0] in cls.absent:
            return None
        return super().find_spec(name, path, target)


def remove(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """Let packages be as if they had never been installed."""
    for name in [name for name in sys.modules if name.split(".")[0] in packages]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(Without, "absent", packages)
    finders: List[Any] = [
        Without if each is importlib.machinery.PathFinder else each for each in sys.meta_path
    ]
    monkeypatch.setattr(sys, "meta_path", finders)


@pytest.mark.parametrize("absent", ("torchvision", "simplejpeg"))
def test_an_absent_contestant_leaves_our_loader_its_rows(
    absent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove(monkeypatch, absent)
    monkeypatch.setattr(decoders, "PASSES", 1)
    rows = {row["case"]: row for row in measure(rounds=1)}
    assert set(rows) >= {"loader", "loader_pil", *NEEDS}
    for name, package in NEEDS.items():
        reason: Optional[str] = f"{absent} is not installed" if package == absent else None
        assert rows[name].get("not_measured") == reason
    assert rows["loader"]["images_per_s_per_core"]["median"] > 0
    assert (rows["loader"]["times_torchvision"] is None) == (absent == "torchvision")
    assert (rows["loader"]["share_of_bare_decode"] is None) == (absent == "simplejpeg")
    assert absent not in describe_machine()["versions"]


def test_a_broken_package_is_no_absent_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "half_there.py").write_text("import what_it_needs")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="what_it_needs"):
        decoders.is_installed("half_there")
    assert not decoders.is_installed("not_there_at_all")


def test_the_row_says_how_many_files_of_how_many_photographs() -> None:
    names = [name for name, _ in photographs()]
    text = describe_images(len(names) * 5)
    assert f"{len(names) * 5} JPEGs" in text and f"from {len(names)} photographs (2 of scikit-learn" in text


def test_scikit_image_brings_photographs_without_a_download() -> None:
    pytest.importorskip("skimage", reason="scikit-image is not installed (requirements-bench.txt)")
    names = [name for name, _ in photographs()]
    assert len([name for name in names if name.startswith("skimage/")]) == 6
