"""``predict``: images in, names out; what can not be read is said, and nothing but the run is needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List

import pytest
from integration_images import CLASSES, ImagesRun, make_images

from ipu_app.__main__ import main


def predicted(words: List[str], capsys: pytest.CaptureFixture) -> List[Dict[str, Any]]:
    capsys.readouterr()
    assert main(["predict", *words, "--device", "cpu", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_shares_of_all_classes_add_up_and_are_in_order(
    images_run: ImagesRun, capsys: pytest.CaptureFixture
) -> None:
    image = images_run.data / "val" / "red" / "0.jpg"
    (row,) = predicted([str(images_run.path), str(image)], capsys)
    shares = [entry["probability"] for entry in row["top"]]
    assert row["image"] == str(image) and sorted(e["class"] for e in row["top"]) == sorted(CLASSES)
    assert sum(shares) == pytest.approx(1, abs=1e-5) and shares == sorted(shares, reverse=True)


def test_predictions_agree_with_validation(images_run: ImagesRun, capsys: pytest.CaptureFixture) -> None:
    """The share of right predictions over the validation folder is validate's top-1."""
    rows = predicted([str(images_run.path), str(images_run.data / "val")], capsys)
    assert len(rows) == 3 * 8
    right = sum(row["top"][0]["class"] == Path(row["image"]).parent.name for row in rows)
    assert main(["validate", str(images_run.path), "--device", "cpu", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["top1"] == pytest.approx(right / len(rows))


def test_a_simulated_ipu_predicts_what_the_cpu_does(
    images_run: ImagesRun, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Fifteen files, a call takes eight (two stages, micro-batches of four): the last call is padded."""
    files = [str(path) for path in sorted((images_run.data / "val").rglob("*.jpg"))[3:17]]
    (tmp_path / "text.jpg").write_text("no image")
    words = [str(images_run.path), *files[:4], str(tmp_path / "text.jpg"), *files[4:]]
    expected = predicted(words, capsys)
    assert main(["predict", *words, "--device", "ipu", "--json"]) == 0
    said = capsys.readouterr()
    assert "simulated IPU" in said.err and "2 pipeline stages x 1 replica" in said.err
    found = json.loads(said.out)
    assert [row["image"] for row in found] == [row["image"] for row in expected]
    for row, other in zip(found, expected):
        assert ("problem" in row) == ("problem" in other)
        shares = {entry["class"]: entry["probability"] for entry in other.get("top", ())}
        assert {e["class"]: e["probability"] for e in row.get("top", ())} == pytest.approx(shares, abs=1e-5)


def test_lists_and_unreadable_images(
    images_run: ImagesRun, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    data = make_images(tmp_path, splits=("val",), count=1)
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "list.txt").write_text("val/red/0.jpg\n\ntext.jpg\nmissing.jpg\n")
    rows = predicted([str(images_run.path), str(data / "list.txt"), str(data / "val" / "blue")], capsys)
    assert [Path(row["image"]).name for row in rows] == ["0.jpg", "text.jpg", "missing.jpg", "0.jpg"]
    assert ["problem" in row for row in rows] == [False, True, True, False]
    assert "0x" not in rows[1]["problem"] and "No such file" in rows[2]["problem"]
    only_bad = ["predict", str(images_run.path), str(tmp_path / "text.jpg"), "--device", "cpu"]
    assert main(only_bad) == 1
    assert "text.jpg: can not be read" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words, said",
    [
        (["/nowhere", "x.jpg"], "no config.yaml"),
        (["RUN", "/nowhere.jpg"], "image=/nowhere.jpg: no such file"),
        (["RUN", "EMPTY"], "no images in this folder"),
        (["RUN", "LIST"], "list.txt: no paths in this list"),
        (["RUN", "BINARY"], "binary.txt: not a list of paths in UTF-8 text"),
        (["RUN", "RUN", "--device", "tpu"], "device='tpu': choose one of auto, ipu, cuda, cpu"),
        (["RUN", "EMPTY", "--top", "0"], "top=0: must be 1 or more"),
    ],
)
def test_bad_requests_are_one_line(
    images_run: ImagesRun, tmp_path: Path, words: List[str], said: str, capsys: pytest.CaptureFixture
) -> None:
    named = {"RUN": str(images_run.path), "EMPTY": str(tmp_path)}
    for name, content in (("list", b"\n \n"), ("binary", b"\xff\xd8\xff")):
        named[name.upper()] = str(tmp_path / f"{name}.txt")
        (tmp_path / f"{name}.txt").write_bytes(content)
    capsys.readouterr()
    assert main(["predict", *(named.get(word, word) for word in words)]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_validation_needs_no_training_images(
    images_run: ImagesRun, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Labels are places in the run's classes, even where the data at hand have fewer."""
    data = make_images(tmp_path / "some", splits=("val",), count=2)
    for file in (data / "val" / "blue").iterdir():
        file.unlink()
    (data / "val" / "blue").rmdir()
    capsys.readouterr()
    words = ["validate", str(images_run.path), "--data", str(data), "--device", "cpu", "--json"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)[0]
    assert set(found["classes"]) == {"green", "red"} and found["samples"] == 4
    (data / "val" / "red").rename(data / "val" / "crimson")
    assert main(words) == 2
    assert "'crimson'" in capsys.readouterr().err
    assert main([*words, "--set", "model.norm=gn"]) == 2
