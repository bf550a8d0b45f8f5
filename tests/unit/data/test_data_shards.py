"""Tar shards: written whole or not at all, read back the same from disk and from URLs."""

from __future__ import annotations

import argparse
import gc
import io
import json
import tarfile
import warnings

import numpy as np
import pytest
import torch
from data_images import jpeg, photograph, png, write_tree
from PIL import Image

from ipu_app.cli import shards as verb
from ipu_app.data.access import Access
from ipu_app.data.datasets import open_dataset, open_source
from ipu_app.data.remote import join_url
from ipu_app.data.sampling import InstanceSampler
from ipu_app.data.shard_writer import write_shards
from ipu_app.data.shards import ShardSource, is_shards
from ipu_app.data.transforms import Preprocess
from pipelines.geometry import BatchGeometry

EVAL = Preprocess(32)


def write(data, out, **options):
    sources = {split: open_source(str(data), split, 32) for split in ("train", "val")}
    return write_shards(sources, out, **{"samples_per_shard": 5, "report": lambda line: None, **options})


def contents(data, split):
    """What a data set holds, in no order: bytes of the prepared images, and labels."""
    opened = open_dataset(str(data), split, EVAL)
    return sorted(
        (image.numpy().tobytes(), label) for image, label in (opened[i] for i in range(len(opened)))
    )


@pytest.fixture
def tree(tmp_path):
    return write_tree(tmp_path / "tree")


def test_shards_hold_what_the_tree_holds(tree, tmp_path):
    written = write(tree, tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    expected = ["index.json", "train-000000.tar", "train-000001.tar", "train-000002.tar"]
    assert names == [*expected, "val-000000.tar", "val-000001.tar"]
    for split in ("train", "val"):
        assert contents(tmp_path / "out", split) == contents(tree, split)
        assert written[split].skipped == []
    train = open_dataset(str(tmp_path / "out"), "train", EVAL)
    assert train.classes == ("class0", "class1", "class2")
    assert train.source.shard_sizes == (5, 5, 2)
    assert len({train[index][1] for index in range(5)}) > 1  # a shard mixes classes


def test_encoded_files_are_copied_as_they_are(tree, tmp_path):
    write(tree, tmp_path / "out")
    before = {path.read_bytes() for path in (tree / "train").rglob("*.jpg")}
    source = ShardSource(str(tmp_path / "out"), "train")
    assert {source.read(index)[0] for index in range(len(source))} == before


def test_the_same_data_give_the_same_bytes(tree, tmp_path):
    for name in ("a", "b"):
        write(tree, tmp_path / name)
    for path in sorted((tmp_path / "a").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_webdataset_reads_them(tree, tmp_path):
    webdataset = pytest.importorskip("webdataset")
    write(tree, tmp_path / "out")
    url = str(tmp_path / "out" / "train-{000000..000002}.tar")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # webdataset leaves the shards open
        samples = list(webdataset.WebDataset(url, shardshuffle=False).decode("pil"))
        gc.collect()
    assert len(samples) == 12
    ours = ShardSource(str(tmp_path / "out"), "train")
    for index, sample in enumerate(samples):
        raw, label = ours.read(index)
        assert sample["cls"] == label
        assert np.array_equal(np.asarray(sample["jpg"]), np.asarray(Image.open(io.BytesIO(raw))))


def test_raw_pixels_are_written_without_loss(tmp_path):
    sources = {"train": open_source("digits", "val", 32)}
    write_shards(sources, tmp_path / "out", samples_per_shard=400, report=lambda line: None)
    data = ShardSource(str(tmp_path / "out"), "train")
    assert (data.flip, data.small) == (False, True)
    opened = open_dataset(str(tmp_path / "out"), "train", EVAL)
    digits = open_dataset("digits", "val", EVAL)
    assert {opened[i][0].numpy().tobytes() for i in range(1000)} == {
        digits[i][0].numpy().tobytes() for i in range(1000)
    }


def test_unreadable_images_are_left_out_and_named(tree, tmp_path):
    whole = jpeg(photograph(200, 150))
    (tree / "train" / "class0" / "bad.jpg").write_text("text")
    (tree / "train" / "class1" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tree / "train" / "class1" / "cut.png").write_bytes(png(photograph(64, 48))[:2000])
    (tree / "train" / "class1" / "zero.jpg").write_bytes(b"")
    (tree / "train" / "class0" / "photo.tif").write_bytes(tiff())
    written = write(tree, tmp_path / "out")
    names = ["class0/bad.jpg", "class1/cut.jpg", "class1/cut.png"]  # the empty one is no image from the start
    assert sorted(written["train"].skipped) == [f"train/{name}" for name in names]
    assert written["train"].entry["samples"] == 13
    assert len(ShardSource(str(tmp_path / "out"), "train")) == 13
    assert set(contents(tmp_path / "out", "train")) == set(contents(tree, "train"))


def tiff():
    buffer = io.BytesIO()
    photograph(40, 30).save(buffer, "TIFF")
    return buffer.getvalue()


def test_an_interrupted_writer_leaves_nothing(tree, tmp_path):
    def interrupt(line):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tree, tmp_path / "out", report=interrupt)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tree"]


def test_existing_folders_and_empty_shards_are_refused(tree, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match="exists already"):
        write(tree, tmp_path / "out")
    with pytest.raises(ValueError, match="samples-per-shard=0"):
        write(tree, tmp_path / "other", samples_per_shard=0)


@pytest.mark.parametrize("form", ["file://{out}", "pipe:cat {out}/{{}}"])
def test_urls_are_copied_once_and_hold_the_same(tree, tmp_path, form):
    pytest.importorskip("webdataset")
    out, cache = tmp_path / "out", tmp_path / "cache"
    write(tree, out)
    url = form.format(out=out)
    data = open_dataset(url, "train", EVAL, access=Access(cache))
    assert not list(cache.rglob("*.tar"))  # not before they are needed
    images = [data[index][0] for index in range(12)]
    assert len(list(cache.rglob("*.tar"))) == 3
    assert not list(cache.rglob("*.part"))
    for path in out.iterdir():
        path.unlink()
    again = open_dataset(url, "train", EVAL, access=Access(cache))
    assert all(torch.equal(again[index][0], images[index]) for index in range(12))
    assert data.source.shard_sizes == (5, 5, 2)


def test_urls_that_fail_are_named_in_one_line(tmp_path):
    pytest.importorskip("webdataset")
    for url in (f"file://{tmp_path}/nowhere", f"pipe:cat {tmp_path}/nowhere/{{}} 2>/dev/null"):
        with pytest.raises(ValueError, match="data.source=.*index.json") as caught:
            open_dataset(url, "train", EVAL, access=Access(tmp_path / "cache"))
        assert "\n" not in str(caught.value)
        assert not list((tmp_path / "cache").rglob("*.part"))
    with pytest.raises(ValueError, match="need a cache folder"):
        open_dataset("https://example.org/shards", "train", EVAL)


def foreign_shard(path, samples):
    """A tar as other tools write it: folders, several suffixes, labels in .cls or .json."""
    with tarfile.open(path, "w") as shard:
        for name, content in samples:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            shard.addfile(member, io.BytesIO(content))


def test_shards_from_elsewhere_need_no_index(tmp_path):
    photo = photograph(40, 30)
    foreign_shard(
        tmp_path / "train-0.tar",
        [
            ("x/a.jpg", jpeg(photo)),
            ("x/a.cls", b"2\n"),
            ("y/a.json", json.dumps({"label": 0, "size": 3}).encode()),
            ("y/a.PNG", png(photo)),
            ("y/a.txt", b"a caption"),
            ("y/unlabelled.jpg", jpeg(photo)),
        ],
    )
    foreign_shard(tmp_path / "val-0.tar", [("a.jpg", jpeg(photo)), ("a.cls", b"1")])
    train, val = (
        open_dataset(str(tmp_path), split, EVAL, access=Access(tmp_path / "c")) for split in ("train", "val")
    )
    assert [train[index][1] for index in range(len(train))] == [2, 0]
    assert train.classes == val.classes == ("0", "1", "2")
    pattern = open_dataset(str(tmp_path / "{split}-*.tar"), "val", EVAL, access=Access(tmp_path / "c"))
    assert torch.equal(pattern[0][0], val[0][0])
    assert pattern.num_skipped == 0


def test_tables_of_foreign_shards_are_cached(tmp_path):
    photo = photograph(40, 30)
    path = tmp_path / "train-0.tar"
    foreign_shard(path, [("a.jpg", jpeg(photo)), ("a.cls", b"1")])
    first = ShardSource(str(tmp_path), "train", access=Access(tmp_path / "c"))
    (stored,) = (tmp_path / "c").iterdir()
    before = stored.stat().st_mtime_ns
    assert ShardSource(str(tmp_path), "train", access=Access(tmp_path / "c")).read(0) == first.read(0)
    assert stored.stat().st_mtime_ns == before
    foreign_shard(path, [("a.jpg", jpeg(photo)), ("a.cls", b"1"), ("b.jpg", jpeg(photo)), ("b.cls", b"0")])
    assert len(ShardSource(str(tmp_path), "train", access=Access(tmp_path / "c"))) == 2


@pytest.mark.parametrize(
    "content,message",
    [(b"not a tar", "not a readable tar"), (None, "no images with labels"), ("cut", "not a readable tar")],
)
def test_damaged_foreign_shards_are_refused(tmp_path, content, message):
    path = tmp_path / "train-0.tar"
    photo = photograph(400, 300)
    foreign_shard(
        path, [("a.jpg", jpeg(photo)), *([("a.cls", b"1"), ("b.jpg", jpeg(photo))] if content else [])]
    )
    if content == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 4])
    elif content:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        open_dataset(str(tmp_path), "train", EVAL)
    assert "\n" not in str(caught.value)


def test_a_shard_damaged_after_writing_is_left_out_and_named(tree, tmp_path):
    write(tree, tmp_path / "out")
    whole = open_dataset(str(tmp_path / "out"), "train", EVAL)
    (tmp_path / "out" / "train-000001.tar").write_bytes(b"gone")
    data = open_dataset(str(tmp_path / "out"), "train", EVAL)
    assert len(data) == 7 and all(data[index][1] >= 0 for index in range(7))
    assert data.source.problems[0] == "train-000001.tar: has 0 images, and by index.json 5"
    assert "train-000001.tar: not a readable tar shard" in data.source.problems[1]
    assert data.manifest_hash != whole.manifest_hash


def test_a_shard_that_is_lost_while_it_is_used_is_skipped_image_by_image(tree, tmp_path):
    write(tree, tmp_path / "out")
    data = open_dataset(str(tmp_path / "out"), "val", EVAL)
    (tmp_path / "out" / "val-000000.tar").unlink()
    assert [data[index][1] >= 0 for index in range(6)] == [False] * 5 + [True]
    assert data.skipped(limit=1) == ["val-000000.tar[0]"]


@pytest.mark.parametrize("text", ["not json", "[]", '{"format": 99}'])
def test_an_index_of_another_kind_is_refused(tmp_path, text):
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(ValueError, match="index.json"):
        open_dataset(str(tmp_path), "train", EVAL)


def test_a_split_that_was_not_written_is_named(tree, tmp_path):
    sources = {"train": open_source(str(tree), "train", 32)}
    write_shards(sources, tmp_path / "out", samples_per_shard=9, report=lambda line: None)
    with pytest.raises(ValueError, match="no split val; it has train"):
        open_dataset(str(tmp_path / "out"), "val", EVAL)


def test_what_is_taken_for_shards(tree, tmp_path):
    assert is_shards("https://host/folder")
    assert is_shards("pipe:aws s3 cp s3://bucket/{} -")
    assert is_shards("/data/{split}-*.tar")
    assert not is_shards(str(tree))
    assert not is_shards(str(tmp_path / "nowhere"))
    assert join_url("https://host/a/", "b.tar") == "https://host/a/b.tar"
    assert join_url("pipe:get {} -", "b.tar") == "pipe:get b.tar -"


def test_an_epoch_over_shards_stays_local_and_complete(tree, tmp_path):
    write(tree, tmp_path / "out", samples_per_shard=1)
    data = open_dataset(str(tmp_path / "out"), "train", EVAL)
    sampler = InstanceSampler(len(data), BatchGeometry(4), shard_sizes=data.source.shard_sizes)
    keys = list(sampler)
    assert sorted(keys) == list(range(12))
    assert keys != list(range(12))


def test_the_verb_writes_and_reports(tree, tmp_path, capsys):
    (tree / "train" / "class1" / "bad.jpg").write_text("text")
    (tree / "train" / "empty").mkdir()
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    args = parser.parse_args([str(tree), str(tmp_path / "out"), "--samples-per-shard", "6"])
    assert verb.run(args) == 0
    printed = capsys.readouterr().out
    assert "train: 12 images in 3 shards" in printed
    assert "train: 1 unreadable image left out: train/class1/bad.jpg" in printed
    assert "note: train/empty: class without images" in printed
    assert "4 classes" in printed
    assert len(open_dataset(str(tmp_path / "out"), "train", EVAL)) == 12
    with pytest.raises(ValueError, match="no such folder"):
        verb.run(parser.parse_args([str(tmp_path / "nowhere"), str(tmp_path / "o2")]))
