"""Data that are not used are counted and named; what is odd in shards, folders and images ends nothing."""

from __future__ import annotations

import io
import json
import os
import struct
import tarfile
import zlib

import numpy as np
import pytest
from data_images import jpeg, photograph, png, write_tree
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ipu_app.data.access import Access
from ipu_app.data.datasets import open_dataset
from ipu_app.data.decode import open_image
from ipu_app.data.source import UnreadableImageError
from ipu_app.data.tar_table import read_table
from ipu_app.data.tar_walk import Damage, NoTarError, walk
from ipu_app.data.transforms import Preprocess
from ipu_app.data.unused import skipped_notes
from ipu_app.runtime.checked_loader import CheckedLoader
from pipelines.door import BadFile

EVAL = Preprocess(32)
few = settings(max_examples=60, deadline=None)


@pytest.fixture(scope="module")
def photo():
    return jpeg(photograph(40, 30))


def write_tar(path, members, form=tarfile.GNU_FORMAT):
    with tarfile.open(path, "w", format=form) as shard:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            shard.addfile(member, io.BytesIO(content))
    return path


def members_of(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return list(walk(descriptor))
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_are_those_of_tarfile(tmp_path, form):
    long = "x/" * 60 + "größe.jpg" if form != tarfile.USTAR_FORMAT else "x/" * 60 + "a.jpg"
    path = write_tar(tmp_path / "a.tar", [("a.jpg", b"1"), (long, b"2" * 1000), ("b", b"")], form)
    with tarfile.open(path) as archive:
        theirs = [(member.name, member.offset_data, member.size) for member in archive]
    assert [(found.name, found.offset, found.size) for found in members_of(path)] == theirs


def test_how_an_archive_ends_is_told(tmp_path):
    path = write_tar(tmp_path / "a.tar", [(f"{i}.jpg", b"x" * 600) for i in range(3)])
    whole = path.read_bytes()
    for content, said in (
        (whole[: 3 * 1536], "without an end mark"),
        (whole[:1700], "within a header"),
        (whole[:2300], "within a member"),
        (whole[:1536] + b"\1" * 512 + whole[2048:], "damaged"),
        (whole + b"more", "follow its end"),
    ):
        path.write_bytes(content)
        assert said in members_of(path)[-1].problem
    path.write_bytes(whole + whole)  # one archive behind the other
    assert len(members_of(path)) == 6


@few
@given(data=st.data())
def test_any_change_of_an_archive_is_walked(data, tmp_path_factory):
    path = write_tar(tmp_path_factory.mktemp("t") / "a.tar", [("a.jpg", b"1"), ("a.cls", b"2")])
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, 2000))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content))
    try:
        assert all(isinstance(found, (tuple, Damage)) for found in members_of(path))
        read_table(path)
    except (NoTarError, BadFile):
        pass


def test_samples_that_are_not_whole_are_counted(tmp_path, photo):
    path = write_tar(
        tmp_path / "train-0.tar",
        [
            ("a.jpg", photo),
            ("a.cls", b"0"),
            ("b.jpg", photo),  # no label
            ("c.jpg", photo),
            ("c.cls", b"1"),
            ("c.json", b'{"label": 2}'),  # another one
            ("d.avif", b"x"),
            ("d.cls", b"1"),
            ("a.jpg", photo),  # a's second
            ("a.cls", b"1"),
            ("._a.jpg", b"x"),
            ("e.jpg", b""),
            ("e.cls", b"1"),
        ],
    )
    table = read_table(path)
    assert table.labels.tolist() == [0, 1] and table.repeated == 1
    data = open_dataset(str(tmp_path), "train", EVAL, access=Access(tmp_path / "c"))
    again = open_dataset(str(tmp_path), "train", EVAL, access=Access(tmp_path / "c"))
    assert again.source.problems == data.source.problems
    said = "\n".join(data.source.problems)
    for part in (
        "1 images without a label left out of 1 shard, for instance train-0.tar: b (jpg)",
        "1 images with two labels that differ",
        "1 samples without an image left out of 1 shard, for instance train-0.tar: d (cls, avif)",
        "1 hidden files",
        "1 images of no bytes",
        "1 keys are repeated",
    ):
        assert part in said


@pytest.mark.parametrize(
    "label, said",
    [
        (("a.cls", b"red"), "holds 'red': a label must be a whole number"),
        (("a.cls", b"1.5"), "'1.5'"),
        (("a.cls", b"9" * 30), "labels must be below"),
        (("a.json", b'{"label": "red"}'), "'red'"),
        (("a.json", b'{"class_id": 1}'), "with class_id"),
        (("a.json", b"[" * 5000), "no images with labels"),
        (("a.cls", b"1" * 2_000_000), "is no label"),
        (("a.png", b"x"), "has 2 images (jpg, png)"),
    ],
)
def test_labels_and_samples_that_are_others_are_refused(tmp_path, photo, label, said):
    path = write_tar(tmp_path / "train-0.tar", [("a.jpg", photo), label])
    with pytest.raises(BadFile) as refusal:
        read_table(path)
    assert said in str(refusal.value) and "\n" not in str(refusal.value)


def test_one_of_several_images_is_chosen_by_its_key(tmp_path, photo):
    path = write_tar(tmp_path / "a.tar", [("a.input.jpg", photo), ("a.output.png", b"x"), ("a.cls", b"1")])
    assert read_table(path, "input.jpg").sizes.tolist() == [len(photo)]
    assert read_table(path, "jpg;output.png").sizes.tolist() == [1]


def test_an_index_leads_nowhere_else(tmp_path):
    for name in ("../x.tar", "/etc/passwd", ".."):
        shard = {"name": name, "samples": 1}
        index = {"format": 1, "classes": ["a"], "splits": {"train": {"manifest": "", "shards": [shard]}}}
        (tmp_path / "index.json").write_text(json.dumps(index))
        with pytest.raises(BadFile, match="is no file's name"):
            open_dataset(str(tmp_path), "train", EVAL)


def test_litter_is_no_data_and_is_named(tmp_path):
    root = write_tree(tmp_path)
    red = root / "train" / "class0"
    for name in (".ipynb_checkpoints", "@eaDir"):
        (red / name).mkdir()
        (red / name / "0.jpg").write_bytes(b"x")
    (red / "._0.jpg").write_bytes(b"x")
    (red / "photo.avif").write_bytes(b"x")
    (root / "train" / "__MACOSX").mkdir()
    (root / "train" / "beside.jpg").write_bytes(b"x")
    os.mkfifo(red / "pipe.jpg")
    (red / "0.jpg").rename(red / "0.JFIF")
    train = open_dataset(str(root), "train", EVAL)
    assert len(train) == 12 and train.classes == ("class0", "class1", "class2")
    said = "\n".join(train.source.problems)
    for part in (
        ".ipynb_checkpoints/: 1",
        "@eaDir/: 1",
        "hidden and system files: 1",
        ".avif: 1",
        "__MACOSX/",
    ):
        assert part in said
    assert "pipe.jpg: left out, a named pipe" in said and "1 image beside the class folders" in said


def test_classes_without_a_readable_image_are_named(tmp_path):
    root = write_tree(tmp_path)
    for path in (root / "val" / "class1").iterdir():
        path.write_text("no image")
    val = open_dataset(str(root), "val", EVAL)
    assert [val[index][1] for index in range(6)] == [0, 0, -1, -1, 2, 2]
    notes = skipped_notes({"val": val}, lambda bad: 2 * bad)
    assert notes[0].startswith("val: 2 unreadable images skipped (val/class1/0.jpg")
    assert notes[1] == "val: no image can be read of 1 class: class1"


@pytest.mark.parametrize("decoder", ["auto", "pil"])
def test_large_images_are_refused_before_they_are_decoded(decoder):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"x") + chunk(b"IEND", b"")
    for content in (bomb, b"RIFF\0\0\0\0WEBPVP8X" + bytes(8) + b"\xff\xff\x3f\xff\xff\x3f"):
        with pytest.raises(UnreadableImageError):
            open_image(content, "simplejpeg" if decoder == "auto" else "pil")
    picture = png(photograph(40, 30))
    with pytest.raises(UnreadableImageError, match="data.max_pixels allows 1000"):
        open_image(picture, "pil", max_pixels=1000)


def test_formats_that_start_programs_are_no_images():
    with pytest.raises(UnreadableImageError):
        open_image(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "pil")


@few
@given(st.binary(max_size=60), st.sampled_from(["JPEG", "PNG", "WEBP"]))
def test_damaged_exif_leaves_an_image_upright(exif, kind):
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(buffer, kind, exif=b"Exif\0\0" + exif)
    found = open_image(buffer.getvalue(), "pil")
    assert {found.height, found.width} == {20, 30}


def test_loader_processes_report_in_one_line(tmp_path):
    import torch

    root = write_tree(tmp_path, train=2)
    for path in (root / "train").rglob("*.jpg"):
        path.write_text("no image")
    data = open_dataset(str(root), "train", EVAL)
    loader = CheckedLoader(torch.utils.data.DataLoader(data, batch_size=2, num_workers=1), data)
    with pytest.raises(ValueError, match="data.source=train/class0/0.jpg: this and the next 5 images"):
        list(loader)
