"""ImageFolder trees, good and bad; the table of files and its cache."""

from __future__ import annotations

import os

import pytest
from data_images import exif, jpeg, photograph, png, write_tree

from benchmarks.measure.make_tree import make_tree
from ipu_app.data.datasets import open_dataset
from ipu_app.data.folder import FolderSource
from ipu_app.data.manifest import default_cache_dir, load_table, scan_classes
from ipu_app.data.transforms import Preprocess


def labels(source):
    return [source.read(index)[1] for index in range(len(source))]


def test_labels_are_places_in_the_sorted_classes(tmp_path):
    source = FolderSource(write_tree(tmp_path), "train")
    assert source.classes == ("class0", "class1", "class2")
    assert labels(source) == [0] * 4 + [1] * 4 + [2] * 4
    assert source.name(5) == "train/class1/1.jpg"
    assert source.problems == ()


def test_equal_to_torchvisions_image_folder(tmp_path):
    datasets = pytest.importorskip("torchvision.datasets")
    root = write_tree(tmp_path)
    (root / "train" / "class1" / "deeper").mkdir()
    os.rename(root / "train" / "class1" / "0.jpg", root / "train" / "class1" / "deeper" / "0.jpg")
    theirs, ours = datasets.ImageFolder(str(root / "train")), FolderSource(root, "train")
    assert list(ours.classes) == theirs.classes
    expected = sorted((os.path.relpath(path, root), label) for path, label in theirs.samples)
    assert sorted((ours.name(i), label) for i, label in enumerate(labels(ours))) == expected


def test_hash_tells_added_removed_and_changed_files(tmp_path):
    root = write_tree(tmp_path)
    first = FolderSource(root, "train").manifest_hash
    assert FolderSource(root, "train").manifest_hash == first
    (root / "train" / "class0" / "9.jpg").write_bytes(b"x")
    second = FolderSource(root, "train").manifest_hash
    (root / "train" / "class0" / "9.jpg").write_bytes(b"xy")
    third = FolderSource(root, "train").manifest_hash
    assert len({first, second, third}) == 3


def test_cached_tables_are_used_until_a_class_changes(tmp_path):
    root, cache = write_tree(tmp_path / "data"), tmp_path / "cache"
    (root / "train" / "empty").mkdir()
    first = FolderSource(root, "train", cache_dir=cache)
    (stored,) = cache.iterdir()
    before = stored.stat().st_mtime_ns
    again = FolderSource(root, "train", cache_dir=cache)
    assert stored.stat().st_mtime_ns == before
    assert again.manifest_hash == first.manifest_hash
    assert again.problems == first.problems
    assert [again.read(i) for i in range(12)] == [first.read(i) for i in range(12)]
    (root / "train" / "class0" / "9.jpg").write_bytes(jpeg(photograph(8, 8)))
    assert len(FolderSource(root, "train", cache_dir=cache)) == 13


@pytest.mark.parametrize("change", ["add", "overwrite", "remove", "new folder"])
def test_cached_tables_notice_changes_at_any_depth(tmp_path, change):
    root, cache = write_tree(tmp_path / "data"), tmp_path / "cache"
    deep = root / "train" / "class0" / "part0" / "day1"
    deep.mkdir(parents=True)
    (deep / "a.jpg").write_bytes(jpeg(photograph(8, 8)))
    first = FolderSource(root, "train", cache_dir=cache)
    at_top = (root / "train" / "class0").stat().st_mtime_ns
    if change == "add":
        (deep / "b.jpg").write_bytes(jpeg(photograph(8, 8)))
    elif change == "overwrite":
        (deep / "a.jpg").write_bytes(jpeg(photograph(16, 16)))
    elif change == "remove":
        (deep / "a.jpg").unlink()
    else:
        (deep / "more").mkdir()
        (deep / "more" / "b.jpg").write_bytes(jpeg(photograph(8, 8)))
    assert (root / "train" / "class0").stat().st_mtime_ns == at_top
    second = FolderSource(root, "train", cache_dir=cache)
    assert second.manifest_hash == FolderSource(root, "train").manifest_hash != first.manifest_hash
    assert len(list(cache.iterdir())) == 1  # the old list was replaced


def test_slow_storage_is_compared_in_part_and_that_is_said(tmp_path):
    root, cache = write_tree(tmp_path / "data"), tmp_path / "cache"
    folder, classes = root / "train", ["class0", "class1", "class2"]
    load_table(folder, classes, cache_dir=cache)
    for number in range(100):
        (folder / "class0" / f"more{number:03d}.jpg").write_bytes(b"x")
    load_table(folder, classes, cache_dir=cache)
    ticks = iter([0.0, 0.0, 10.0])
    table = load_table(folder, classes, cache_dir=cache, compare_s=5.0, clock=lambda: next(ticks))
    assert len(table) == 112
    (note,) = table.problems
    assert "within 5 s, 64 of 112 files could be compared" in note and str(cache) in note
    assert load_table(folder, classes, cache_dir=cache).problems == ()


def test_a_damaged_or_unwritable_cache_is_no_obstacle(tmp_path):
    root, cache = write_tree(tmp_path / "data"), tmp_path / "cache"
    FolderSource(root, "train", cache_dir=cache)
    for stored in cache.iterdir():
        stored.write_bytes(b"not an archive")
    assert len(FolderSource(root, "train", cache_dir=cache)) == 12
    (tmp_path / "file").write_text("in the way")
    assert len(FolderSource(root, "train", cache_dir=tmp_path / "file" / "cache")) == 12


def test_cache_folder_follows_the_environment():
    assert str(default_cache_dir({"XDG_CACHE_HOME": "/x"})) == "/x/ipu_app"
    assert str(default_cache_dir({"HOME": "/home/me"})) == "/home/me/.cache/ipu_app"


def bad_tree(root):
    """Everything that goes wrong in a folder of images at once."""
    write_tree(root)
    train, val = root / "train", root / "val"
    (train / "empty").mkdir()
    photo = photograph(64, 48)
    (train / "class0" / "text.jpg").write_text("not an image")
    (train / "class0" / "truncated.jpg").write_bytes(jpeg(photo)[:500])
    (train / "class0" / "nothing.jpg").write_bytes(b"")
    (train / "class1" / "cmyk.jpg").write_bytes(jpeg(photo.convert("CMYK")))
    (train / "class1" / "turned.jpg").write_bytes(jpeg(photo, exif=exif(6)))
    (train / "class1" / "readme.txt").write_text("not even named like an image")
    sixteen = photo.convert("I").point(lambda value: value * 257).convert("I;16")
    (train / "class2" / "sixteen.png").write_bytes(png(sixteen))
    (train / "class2" / "self").symlink_to(train / "class2")
    (train / "class2" / "up").symlink_to(root)
    (train / "class2" / "broken.jpg").symlink_to(root / "nowhere.jpg")
    (train / "class2" / "ring.jpg").symlink_to(train / "class2" / "ring.jpg")
    (train / ".hidden").mkdir()
    (val / "unknown").mkdir()
    (val / "unknown" / "0.jpg").write_bytes(jpeg(photo))
    return root


@pytest.mark.parametrize("decoder", ["auto", "pil"])
def test_a_bad_tree_is_read_and_reported(tmp_path, decoder):
    root = bad_tree(tmp_path)
    train = open_dataset(str(root), "train", Preprocess(32, augment=True, decoder=decoder))
    assert train.classes == ("class0", "class1", "class2", "empty")
    for key in range(2 * len(train)):
        image, label = train[key]
        assert image.shape == (3, 32, 32)
        assert 0 <= label < 3
    assert train.skipped() == [
        "train/class0/text.jpg",
        "train/class0/truncated.jpg",
    ]
    report = "\n".join(train.source.problems)
    assert "train/empty: class without images" in report
    assert "1 other files left out (.txt: 1)" in report
    assert "images of no bytes left out (class0/nothing.jpg)" in report
    assert "class2/self: left out, a link back" in report
    assert "class2/broken.jpg: left out" in report
    assert "class2/ring.jpg: left out" in report
    assert "class2/up: left out, a link back" in report

    val = open_dataset(str(root), "val", Preprocess(32, decoder=decoder))
    assert val.classes == train.classes
    assert [val[key][1] for key in range(len(val))] == [0, 0, 1, 1, 2, 2]
    report = "\n".join(val.source.problems)
    assert "left out, not in train/: 1 class: unknown" in report
    assert "no folder for 1 class: empty" in report


def test_long_reports_are_cut(tmp_path):
    write_tree(tmp_path)
    for number in range(50):
        (tmp_path / "train" / f"empty{number}").mkdir()
    problems = FolderSource(tmp_path, "train").problems
    assert len(problems) == 21
    assert problems[-1] == "and 30 more folders or files like these"


def test_files_lost_after_the_scan_are_skipped(tmp_path):
    root = write_tree(tmp_path)
    data = open_dataset(str(root), "val", Preprocess(32))
    (root / "val" / "class0" / "0.jpg").unlink()
    assert [data[key][1] for key in range(2)] == [-1, 0]
    assert data.num_skipped == 1


@pytest.mark.parametrize(
    "make,message",
    [
        (lambda root: None, "has no folder train/"),
        (lambda root: (root / "val" / "a").mkdir(parents=True), "has no folder train/"),
        (lambda root: (root / "train").mkdir(), "has no class folders"),
        (lambda root: (root / "train" / "a").mkdir(parents=True), "no images below train/"),
    ],
)
def test_what_is_no_tree_is_refused_with_what_is_expected(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(ValueError, match=message) as caught:
        open_dataset(str(tmp_path), "train", Preprocess(32))
    assert str(caught.value).startswith(f"data.source={tmp_path}")
    assert "train/<class>/*.jpg" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_val_is_named(tmp_path):
    write_tree(tmp_path)
    (tmp_path / "val").rename(tmp_path / "validation")
    with pytest.raises(ValueError, match="has no folder val/"):
        FolderSource(tmp_path, "val")


def test_names_that_are_not_utf8_are_kept(tmp_path):
    root = write_tree(tmp_path)
    raw = os.path.join(os.fsencode(root / "train" / "class0"), b"caf\xe9.jpg")
    with open(raw, "wb") as file:
        file.write(jpeg(photograph(16, 16)))
    table = scan_classes(root / "train", ["class0"])
    assert os.fsencode(table.entry(len(table) - 1)[0]) == b"class0/caf\xe9.jpg"
    data = open_dataset(str(root), "train", Preprocess(32))
    assert all(data[key][1] >= 0 for key in range(len(data)))


def test_made_trees_look_like_imagenet(tmp_path):
    assert make_tree(tmp_path, classes=4, train=2, val=1) == 12
    train = open_dataset(str(tmp_path), "train", Preprocess(64, augment=True))
    assert train.num_classes == 4
    assert [train[key][1] for key in range(8)] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert train.num_skipped == 0
