"""CIFAR's pickled batches as torchvision keeps them, and what must not be in them."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest

from ipu_app.data.datasets import open_dataset
from ipu_app.data.transforms import Preprocess

EVAL = Preprocess(32)


def write_cifar10(root, per_batch=6):
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for number, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        rows = random.integers(0, 256, size=(per_batch, 3072), dtype=np.uint8)
        content = {"data": rows, "labels": [(number + i) % 10 for i in range(per_batch)], "batch_label": name}
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names}, protocol=2))
    return folder


def write_cifar100(root):
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    for name, count in (("train", 20), ("test", 10)):
        rows = np.full((count, 3072), 7, dtype=np.uint8)
        content = {"data": rows, "fine_labels": list(range(80, 80 + count)), "coarse_labels": [0] * count}
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    meta = {"fine_label_names": [f"fine{i}" for i in range(100)], "coarse_label_names": ["c"] * 20}
    (folder / "meta").write_bytes(pickle.dumps(meta, protocol=2))
    return folder


@pytest.mark.parametrize("below", [True, False])
def test_cifar10_is_read_from_its_folder_or_the_one_above(tmp_path, below):
    folder = write_cifar10(tmp_path)
    train = open_dataset(str(tmp_path if below else folder), "train", EVAL)
    val = open_dataset(str(tmp_path if below else folder), "val", EVAL)
    assert (len(train), len(val)) == (30, 6)
    assert train.classes[3] == "cat"
    assert "CIFAR-10" in train.describe()
    content = pickle.loads((folder / "data_batch_2").read_bytes())
    image, label = train[6 + 4]
    assert np.array_equal(image.numpy(), content["data"][4].reshape(3, 32, 32))
    assert label == content["labels"][4]
    assert train.manifest_hash != val.manifest_hash


def test_torchvision_reads_the_same(tmp_path):
    pytest.importorskip("torchvision")
    from torchvision.datasets import CIFAR10

    class Unchecked(CIFAR10):  # made-up batches have other checksums than the real ones
        def _check_integrity(self):
            return True

        def _load_meta(self):
            self.classes = []

    write_cifar10(tmp_path)
    theirs, ours = Unchecked(str(tmp_path), train=True), open_dataset(str(tmp_path), "train", EVAL)
    for index in (0, 13, 29):
        assert np.array_equal(ours[index][0].permute(1, 2, 0).numpy(), np.asarray(theirs[index][0]))
        assert ours[index][1] == theirs[index][1]


def test_cifar100_has_fine_labels(tmp_path):
    write_cifar100(tmp_path)
    train = open_dataset(str(tmp_path), "train", EVAL)
    assert train.num_classes == 100
    assert [train[index][1] for index in range(20)] == list(range(80, 100))


def test_training_images_are_shifted_and_mirrored(tmp_path):
    write_cifar10(tmp_path)
    data = open_dataset(str(tmp_path), "train", Preprocess(32, augment=True))
    raw = data.source.read(0)[0].transpose(2, 0, 1)
    centre = raw[:, 12:20, 12:20].tobytes()
    found = set()
    for epoch in range(200):
        image = data[epoch * len(data)][0].numpy()
        for name, view in (("upright", image), ("mirrored", image[:, :, ::-1])):
            places = [
                (down, right)
                for down in range(-4, 5)
                for right in range(-4, 5)
                if view[:, 12 + down : 20 + down, 12 + right : 20 + right].tobytes() == centre
            ]
            found |= {(name, *place) for place in places}
    assert {name for name, _, _ in found} == {"upright", "mirrored"}
    assert len(found) > 100  # of 2 x 81


class Payload:
    """Would run a command if unpickled by pickle itself."""

    def __reduce__(self):
        return os.system, ("touch /tmp/should-not-exist",)


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps({"data": Payload()}),
        b"",
        b"no pickle",
        pickle.dumps([1, 2]),
        pickle.dumps({"data": 1})[:-4],
    ],
)
def test_files_with_anything_else_are_refused(tmp_path, content):
    folder = write_cifar10(tmp_path)
    (folder / "data_batch_3").write_bytes(content)
    with pytest.raises(ValueError, match="data_batch_3: not a CIFAR file") as caught:
        open_dataset(str(tmp_path), "train", EVAL)
    assert "\n" not in str(caught.value)
    assert not os.path.exists("/tmp/should-not-exist")


def test_a_missing_batch_is_named(tmp_path):
    folder = write_cifar10(tmp_path)
    (folder / "test_batch").unlink()
    with pytest.raises(ValueError, match="has no file test_batch"):
        open_dataset(str(tmp_path), "val", EVAL)
