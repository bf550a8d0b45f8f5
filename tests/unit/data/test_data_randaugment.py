"""RandAugment: operations against the released code's pixels, both ways to look pixels up, keyed choices."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from data_images import photograph, write_tree

from ipu_app.data.datasets import open_dataset
from ipu_app.data.keyed_random import KeyedRandom
from ipu_app.data.pixel_tables import choose_pixel_tables
from ipu_app.data.policies import AUTOAUGMENT_REACH, AUTOAUGMENT_V0, AutoAugment, RandAugment
from ipu_app.data.randaugment import OPS, SIGNED, apply, argument, transform
from ipu_app.data.transforms import Preprocess

GOLDEN = Path(__file__).parents[2] / "golden" / "data"
FACTS = json.loads((GOLDEN / "randaugment.json").read_text())
LIKENESSES = [
    pytest.param(case, id=f"{case['operation']}-{case['magnitude']:.1f}-{case['sign']}")
    for case in FACTS["cases"]
]


@pytest.fixture(scope="module")
def images():
    with np.load(GOLDEN / "randaugment.npz") as arrays:
        return dict(arrays)


def share_beyond(image, other, levels):
    """Share of the pixels that differ by more than so many levels."""
    return float((np.abs(image.astype(int) - other.astype(int)) > levels).any(-1).mean())


@pytest.mark.parametrize("case", LIKENESSES)
def test_operations_equal_the_released_code(case, images):
    made = apply(images["image"], case["operation"], case["magnitude"], case["sign"])
    shares = [share_beyond(made, images[name], case["levels"]) for name in case["either"]]
    assert min(shares) <= case["share"]


def test_golden_cases_cover_all_operations_with_pixels_of_their_own():
    assert {case["operation"] for case in FACTS["cases"]} == set(OPS) - {"Cutout"}


def test_arguments_equal_the_released_code():
    for op in OPS:
        for magnitude, expected in zip(FACTS["magnitudes"], FACTS["arguments"][op]):
            assert argument(op, magnitude) == (None if expected is None else pytest.approx(expected))
    assert argument("TranslateX", 9, AUTOAUGMENT_REACH) == 225
    assert argument("Cutout", 10, AUTOAUGMENT_REACH) == 100


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("side", [(1, 1), (2, 9), (31, 17)])
def test_numpy_and_opencv_give_the_same_bytes(op, side):
    pytest.importorskip("cv2")
    picture = np.asarray(photograph(*side[::-1]))
    for magnitude in (0.0, 3.3, 7.0, 12.1, 25.0):
        for sign in (1, -1):
            made = [
                transform(
                    picture, op, argument(op, magnitude), sign=sign, tables=choose_pixel_tables(opencv=use)
                )
                for use in (True, False)
            ]
            np.testing.assert_array_equal(*made)
            assert made[0].dtype == np.uint8 and made[0].shape == picture.shape


@pytest.mark.parametrize("op", OPS)
def test_the_image_given_stays_as_it_is(op):
    picture = np.asarray(photograph(40, 30))
    before = picture.copy()
    picture.flags.writeable = False  # as PIL's pixels are
    apply(picture, op, 12.0, -1)
    np.testing.assert_array_equal(picture, before)


def test_cutout_is_cut_off_at_the_border(images):
    image = images["image"]
    cut = apply(image, "Cutout", 2.0, centre=(3, 50))  # half a side: 8 pixels
    expected = image.copy()
    expected[0:11, 42:56] = 128
    np.testing.assert_array_equal(cut, expected)


def test_what_leaves_8_bits_changes_nothing(images):
    image = images["image"]
    for op, magnitude in (("Solarize", 10.0), ("Solarize", 15.0), ("Posterize", 20.0), ("Posterize", 25.0)):
        np.testing.assert_array_equal(apply(image, op, magnitude), image)
    assert len(np.unique(apply(image, "Posterize", 1.0))) == 2  # no bits would be a black image


def test_bad_requests_are_refused_by_name(images):
    with pytest.raises(ValueError, match="operation='Blur': choose one of AutoContrast"):
        apply(images["image"], "Blur", 5.0)
    with pytest.raises(ValueError, match=r"magnitude=31.*between 0 and 30"):
        apply(images["image"], "Color", 31.0)
    with pytest.raises(ValueError, match="uint8"):
        apply(images["image"].astype(np.float32), "Color", 5.0)
    with pytest.raises(ValueError, match="operations=0"):
        RandAugment(5.0, 0)


def chosen_operations(monkeypatch, policy, count):
    """What a policy does to ``count`` images: (operation, sign) of each step, and steps per image."""
    import ipu_app.data.policies as policies

    done = []
    monkeypatch.setattr(
        policies, "transform", lambda image, op, value, *, sign, **_: done.append((op, sign)) or image
    )
    image = np.zeros((8, 8, 3), np.uint8)
    lengths = []
    for key in range(count):
        before = len(done)
        policy(image, KeyedRandom(1, key))
        lengths.append(len(done) - before)
    return done, lengths


def test_operations_are_drawn_evenly_and_always_applied(monkeypatch):
    done, lengths = chosen_operations(monkeypatch, RandAugment(9.0, 2), 8000)
    assert set(lengths) == {2}
    counts = Counter(op for op, _ in done)
    # five standard deviations of a binomial count
    assert all(abs(counts[op] - 1000) < 5 * (16000 / 16) ** 0.5 for op in OPS)
    signs = [sign for op, sign in done if op in SIGNED]
    assert abs(sum(signs)) < 5 * len(signs) ** 0.5
    assert {sign for op, sign in done if op not in SIGNED} == {1}


def test_autoaugment_applies_each_step_with_its_probability(monkeypatch):
    done, lengths = chosen_operations(monkeypatch, AutoAugment(), 8000)
    expected = sum(step[1] for pair in AUTOAUGMENT_V0 for step in pair) / len(AUTOAUGMENT_V0)
    assert np.mean(lengths) == pytest.approx(expected, abs=5 * 0.7 / 8000**0.5)
    assert len(AUTOAUGMENT_V0) == 25 and "Cutout" not in dict(done)


def test_an_image_depends_on_seed_and_key_alone(tmp_path):
    root = write_tree(tmp_path / "data")
    how = Preprocess(48, augment=True, seed=3, policy=RandAugment(12.0))
    data, again = (open_dataset(str(root), "train", how) for _ in range(2))
    keys = [5, 17, 5 + len(data), 3]
    made = {key: data[key][0] for key in keys}
    assert all(bool((again[key][0] == made[key]).all()) for key in reversed(keys))
    assert not bool((made[5] == made[5 + len(data)]).all())  # another epoch, other operations


def test_the_policy_is_given_the_cropped_and_mirrored_pixels(tmp_path):
    root, given = write_tree(tmp_path / "data"), []

    def invert(pixels, random):
        given.append(pixels)
        return 255 - pixels

    plain = open_dataset(str(root), "train", Preprocess(48, augment=True, seed=3))
    changed = open_dataset(str(root), "train", Preprocess(48, augment=True, seed=3, policy=invert))
    for key in range(6):
        pixels = plain[key][0]
        assert bool((changed[key][0] == 255 - pixels).all())
        np.testing.assert_array_equal(given[-1], pixels.permute(1, 2, 0).numpy())


def test_small_images_are_changed_too():
    plain = open_dataset(None, "train", Preprocess(32, augment=True))
    changed = open_dataset(None, "train", Preprocess(32, augment=True, policy=RandAugment(2.0)))
    assert sum(not bool((plain[key][0] == changed[key][0]).all()) for key in range(20)) > 10
