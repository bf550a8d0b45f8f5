"""What users really give: bad trees, wrong files, the wrong run. A clear line, and never a traceback."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import List

import pytest
from integration_images import ImagesRun, make_images, spoil

from ipu_app.__main__ import main
from ipu_app.cli.train import add_arguments
from ipu_app.cli.train_config import config_from_args
from ipu_app.config.load import load_config
from ipu_app.settling.weights_file import file_needs
from ipu_app.training.checkpoint import find_checkpoints


def refusal(words: List[str], capsys: pytest.CaptureFixture) -> str:
    capsys.readouterr()
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("ipu_app: error: ") and error.count("\n") == 1
    return error


@pytest.fixture(scope="module")
def bad_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_images(tmp_path_factory.mktemp("bad") / "it's a tree")
    spoil(root)
    return root


def test_a_bad_tree_is_reported_and_trained_on(
    bad_tree: Path, images_run: ImagesRun, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """What the folders show is said before the training, what only decoding shows after it."""
    words = ["train", "--config", str(images_run.config), "--data", str(bad_tree), "--device", "cpu"]
    words += ["--name", "bad", "--epochs", "1", "--set", "evaluate.resolutions=[]"]
    assert main([*words, "--set", f"runs_dir={tmp_path}"]) == 0
    before, _, after = capsys.readouterr().out.partition("train epoch")
    for note in (
        "note: red/gone.jpg: left out, No such file or directory",
        "note: red/itself: left out, Too many levels of symbolic links",
        "note: red/loop: left out, a link back to a folder already listed",
        "note: train/: 1 images of no bytes left out (red/empty.jpg)",
        "note: train/nothing: class without images",
        "note: val/: left out, not in train/: 1 class: only here",
        "note: val/: has no folder for 1 class: nothing",
    ):
        assert note in before
    assert f"{bad_tree}/train: 30 images, 4 classes" in before
    assert "val: 2 unreadable images skipped (val/red/cut.jpg, val/red/text.jpg)" in after
    assert "validation top-1" in after and "on 28 images" in after


def test_a_bad_tree_is_packed_without_what_can_not_be_read(
    bad_tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(["shards", str(bad_tree), str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "train: 28 images in 1 shard" in said and "val: 28 images in 1 shard" in said
    (line,) = [line for line in said.splitlines() if line.startswith("train: 2 unreadable images left out: ")]
    names = line.partition("out: ")[2].split(", ")
    assert sorted(names) == ["train/red/cut.jpg", "train/red/text.jpg"]


def test_one_class_is_noted(images_run: ImagesRun, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    data = make_images(tmp_path / "images", count=12)
    for split in ("train", "val"):
        for name in ("blue", "green"):
            shutil.rmtree(str(data / split / name))
    words = [
        "train",
        "--config",
        str(images_run.config),
        "--data",
        str(data),
        "--device",
        "cpu",
        "--epochs",
        "1",
    ]
    assert main([*words, "--set", "evaluate.resolutions=[]", "--set", f"runs_dir={tmp_path}"]) == 0
    assert "note: there is only one class" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["train", "shards"])
def test_other_classes_in_val_are_named(verb: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    data = make_images(tmp_path / "images", count=1)
    for name in ("blue", "green", "red"):
        (data / "val" / name).rename(data / "val" / f"dark {name}")
    words = {"train": ["train", "--device", "cpu", "--data", str(data)], "shards": ["shards", str(data), "x"]}
    assert "val/ has 3 classes: dark blue, dark green, dark red" in refusal(words[verb], capsys)


def test_data_that_is_empty_or_a_file(
    images_run: ImagesRun, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """An empty value, as an unset shell variable gives, must not train the demo's digits."""
    for words in (["train"], ["validate", str(images_run.path)]):
        assert "data.source=''" in refusal([*words, "--data", "", "--device", "cpu"], capsys)
    assert "data='': give a folder" in refusal(["shards", "", str(tmp_path / "out")], capsys)
    assert "must be a folder, and is a file" in refusal(["train", "--data", str(images_run.config)], capsys)


@pytest.mark.parametrize("name", ["it's a folder", "2012", "a = b", 'two "words"', "null", "[x]", "a: b # c"])
def test_any_folder_name_stays_what_it_is(name: str) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    config = config_from_args(parser.parse_args(["--data", name, "--name", name]))
    assert (config.data.source, config.name) == (name, name)


def continued(run: ImagesRun, runs: Path) -> List[str]:
    return ["--device", "cpu", "--epochs", "3", "--set", "data.workers=0", "--set", f"runs_dir={runs}"]


@pytest.mark.parametrize("option", [["--resume"], ["--phase", "train", "--from"]])
def test_a_run_goes_on_with_its_own_network_and_classes_only(
    option: List[str], images_run: ImagesRun, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    words = ["train", *option, str(images_run.path), *continued(images_run, tmp_path)]
    said = refusal([*words, "--set", "model.norm=gn"], capsys)
    assert f"={images_run.path}: made with another network" in said and "leave model.* as it was" in said
    said = refusal([*words, "--data", "generated:5"], capsys)
    assert "trained on 3 classes, but this data has 5" in said and "--init FILE --reset-head" in said


def test_classes_of_other_names_are_warned_of(
    images_run: ImagesRun, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    data = make_images(tmp_path / "images")
    for split in ("train", "val"):
        (data / split / "blue").rename(data / split / "sky")
    words = ["train", "--phase", "train", "--from", str(images_run.path), *continued(images_run, tmp_path)]
    words[words.index("3")] = "1"
    assert main([*words, "--data", str(data), "--set", "evaluate.resolutions=[]"]) == 0
    assert "what it knows as 'blue' is now 'green', and 2 more" in capsys.readouterr().out


def test_a_checkpoints_weights_bring_their_network(images_run: ImagesRun) -> None:
    newest = find_checkpoints(images_run.path / "checkpoints")[-1]
    needed = file_needs(newest / "weights.safetensors", []).settings
    model = load_config(images_run.path / "config.yaml").model
    assert needed["model.name"] == "cifar" and needed["model.norm"] == model.norm


@pytest.mark.parametrize(
    "words, said",
    [
        (["export", "RUN", "FILE"], "File exists"),
        (["export", "RUN", "FILE/below"], "Not a directory"),
        (["validate", "RUN", "--res", "32", "5"], "res=5: must be 32 or more"),
        (["train", "--init", "FILE"], "neither safetensors nor a file that torch.save wrote"),
        (["train", "--init", "FOLDER"], "must be a file, and is a folder"),
        (["train", "--resume", "FOLDER"], "no config.yaml there"),
        (["predict", "FOLDER", "FILE"], "no config.yaml there"),
        (["train", "--wandb", "--device", "cpu"], "wandb"),
    ],
)
def test_wrong_paths_and_missing_packages_are_one_line(
    words: List[str],
    said: str,
    images_run: ImagesRun,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)  # Python's own way to say that there is none
    (tmp_path / "file").write_text("text")
    names = {"RUN": str(images_run.path), "FILE": str(tmp_path / "file"), "FOLDER": str(tmp_path)}
    for name, value in names.items():
        words = [word.replace(name, value) for word in words]
    assert said in refusal(words, capsys)
