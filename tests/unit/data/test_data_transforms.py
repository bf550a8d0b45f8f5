"""Augmentation against its theory: areas, aspects, positions, mirrors, means; validation against
torchvision.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from data_images import jpeg, photograph
from PIL import Image

from ipu_app.data.decode import open_image
from ipu_app.data.image import ArrayImage
from ipu_app.data.keyed_random import KeyedRandom
from ipu_app.data.pixel_ops import (
    choose_pixel_ops,
    plain_torch,
    smooth_pil,
    smooth_torch,
    torch_resizes_bytes,
    unpack_numpy,
)
from ipu_app.data.transforms import Preprocess, draw_crop, evaluate, train_photo, train_small

DRAWS = 20_000
KOLMOGOROV = 1.95 / math.sqrt(DRAWS)  # exceeded with probability 0.001
OPS = choose_pixel_ops()


@pytest.fixture(scope="module")
def crops():
    return [draw_crop(375, 500, KeyedRandom(7, key), flip=True) for key in range(DRAWS)]


def distance(values, distribution):
    """Kolmogorov-Smirnov distance of a sample from a distribution function."""
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    return np.abs(distribution(ordered) - (np.arange(DRAWS) + 0.5) / DRAWS).max()


def accepted_areas(height, width):
    """Distribution function of an accepted window's area: uniform, weighted by the share of fitting
    aspects.
    """
    area = np.linspace(0.05, 1, 4001)
    aspects = np.exp(np.linspace(math.log(3 / 4), math.log(4 / 3), 2001))[None, :]
    target = area[:, None] * height * width
    fits = (np.sqrt(target * aspects) <= width + 0.5) & (np.sqrt(target / aspects) <= height + 0.5)
    cumulated = np.cumsum(fits.mean(1))
    return lambda values: np.interp(values, area, cumulated / cumulated[-1])


def test_crop_areas_follow_their_distribution(crops):
    areas = [crop.window.height * crop.window.width / (375 * 500) for crop in crops]
    assert distance(areas, accepted_areas(375, 500)) < KOLMOGOROV + 0.002  # whole pixels
    assert min(areas) > 0.049
    # and it is not the uniform distribution of a rule that never draws again
    assert distance(areas, lambda a: (a - 0.05) / 0.95) > 5 * KOLMOGOROV


def test_aspects_stay_in_range_and_centre_on_one(crops):
    small = [c.window for c in crops if c.window.height * c.window.width < 0.3 * 375 * 500]
    logs = np.log([window.width / window.height for window in small])
    assert np.abs(logs).max() < math.log(4 / 3) + 0.03
    assert abs(logs.mean()) < 5 * logs.std() / math.sqrt(len(logs))
    assert logs.std() == pytest.approx(2 * math.log(4 / 3) / math.sqrt(12), rel=0.03)


def test_positions_are_uniform_and_inside(crops):
    for crop in crops[:2000]:
        top, left, height, width = crop.window
        assert 0 <= top <= 375 - height
        assert 0 <= left <= 500 - width
    room = [(c.window.left + 0.5) / (500 - c.window.width + 1) for c in crops]
    assert distance(room, lambda value: value) < KOLMOGOROV + 0.02  # few places where the window is wide


def test_half_of_the_images_are_mirrored(crops):
    share = np.mean([crop.flip for crop in crops])
    assert share == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(DRAWS))
    assert not any(draw_crop(375, 500, KeyedRandom(7, key), flip=False).flip for key in range(200))


def test_neighbouring_keys_are_independent(crops):
    flips = np.array([crop.flip for crop in crops], dtype=float)
    tops = np.array([crop.window.top for crop in crops], dtype=float)
    for values in (flips, tops):
        assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 5 / math.sqrt(DRAWS)
    other = [draw_crop(375, 500, KeyedRandom(8, key), flip=True).window.top for key in range(2000)]
    assert abs(np.corrcoef(tops[:2000], other)[0, 1]) < 5 / math.sqrt(2000)


def test_extreme_shapes_get_the_largest_centred_window():
    window = draw_crop(10, 1000, KeyedRandom(0, 1), flip=False).window
    assert window.height == 10
    assert window.width == round(10 * 4 / 3)
    tall = draw_crop(1000, 1, KeyedRandom(0, 1), flip=False).window
    assert tall.width == 1
    assert 0 < tall.height <= 2


def test_mean_over_crops_and_mirrors_is_the_images():
    """A window's place is symmetric about the centre, so a ramp's mean over many windows is the ramp's
    own.
    """
    ramp = np.broadcast_to(np.linspace(0, 250, 100)[None, :, None], (80, 100, 3)).astype(np.uint8)
    means = [
        float(train_photo(ArrayImage(ramp), 16, KeyedRandom(1, key), flip=False, ops=OPS).float().mean())
        for key in range(3000)
    ]
    assert np.mean(means) == pytest.approx(ramp.mean(), abs=5 * np.std(means) / math.sqrt(3000))
    assert np.std(means) > 10


def test_random_numbers_are_splitmix64s():
    random = KeyedRandom(0, 0)
    random._state = 1234567  # the published reference sequence of this state
    for expected in (6457827717110365317, 3203168211198807973, 9817491932198370423):
        assert int(random.random() * 2**53) == expected >> 11


def test_random_numbers_do_not_change_between_versions():
    random = KeyedRandom(1, 2)
    assert [round(random.random(), 6) for _ in range(3)] == [0.824079, 0.898105, 0.342655]


def test_random_numbers_are_uniform_and_seeds_differ():
    first = [KeyedRandom(0, key).random() for key in range(DRAWS)]
    assert distance(first, lambda value: value) < KOLMOGOROV
    assert len({KeyedRandom(seed, key).random() for seed in range(30) for key in range(30)}) == 900


@pytest.mark.parametrize("width,height", [(90, 60), (60, 90), (71, 71), (33, 200)])
def test_validation_equals_torchvision(width, height):
    transforms = pytest.importorskip("torchvision.transforms")
    image = photograph(width, height)
    reference = transforms.Compose(
        [transforms.Resize(36), transforms.CenterCrop(32), transforms.PILToTensor()]
    )
    ours = evaluate(ArrayImage(np.asarray(image)), 32, Preprocess(32).shorter_side, ops=OPS)
    assert Preprocess(32).shorter_side == 36
    assert ours.shape == (3, 32, 32)
    assert (ours.int() - reference(image).int()).abs().max() <= 1


@pytest.mark.parametrize("size, side", [(192, 224), (300, 332), (319, 351), (320, None), (384, None)])
def test_version_2_evaluates_whole_images_from_320_pixels_on(size, side):
    assert Preprocess(size, crop="v2").shorter_side == side


@pytest.mark.parametrize("width,height", [(90, 60), (60, 90), (33, 200), (32, 32)])
def test_a_whole_image_is_squeezed_to_a_square(width, height):
    image = photograph(width, height)
    ours = evaluate(ArrayImage(np.asarray(image)), 32, None, ops=OPS)
    expected = torch.from_numpy(np.array(image.resize((32, 32), Image.BILINEAR))).permute(2, 0, 1)
    assert ours.shape == (3, 32, 32)
    assert (ours.int() - expected.int()).abs().max() <= 1


def test_a_mirrored_crop_is_the_mirror_of_the_crop():
    image = open_image(jpeg(photograph()), "pil")
    pairs = {}
    for key in range(40):
        flipped = train_photo(image, 24, KeyedRandom(3, key), flip=True, ops=OPS)
        upright = train_photo(image, 24, KeyedRandom(3, key), flip=False, ops=OPS)
        pairs[key] = (torch.equal(flipped, upright), torch.equal(flipped, upright.flip(2)))
    assert all(same or mirrored for same, mirrored in pairs.values())
    assert 8 < sum(mirrored for _, mirrored in pairs.values()) < 32


def test_small_images_are_shifted_over_black():
    digit = np.zeros((32, 32, 3), dtype=np.uint8)
    digit[16, 16] = 255
    places = set()
    for key in range(500):
        shifted = train_small(ArrayImage(digit), 32, KeyedRandom(0, key), flip=False, ops=OPS)
        (place,) = torch.nonzero(shifted[0]).tolist()
        places.add(tuple(place))
    assert places == {(row, column) for row in range(12, 21) for column in range(12, 21)}


@pytest.mark.parametrize("layout", ["whole", "sliced", "transposed"])
def test_the_ways_to_resize_agree(layout):
    whole = np.array(photograph(150, 120))
    pixels = {"whole": whole, "sliced": whole[9:100, 7:120], "transposed": whole.transpose(1, 0, 2)}[layout]
    reference = smooth_pil(pixels, 80, 90).astype(int)
    if torch_resizes_bytes():
        assert np.abs(smooth_torch(pixels, 80, 90) - reference).max() <= 1
        assert np.abs(OPS.plain(pixels, 80, 90) - plain_torch(pixels, 80, 90).astype(int)).max() <= 1
    assert np.abs(OPS.plain(pixels, 80, 90) - reference).mean() < 4
    assert np.abs(OPS.plain(pixels, 240, 300) - smooth_pil(pixels, 240, 300).astype(int)).max() <= 1


def test_read_only_and_sliced_pixels_are_accepted():
    pixels = np.asarray(photograph(150, 120))[10:90, 5:101]
    assert not pixels.flags.writeable
    for ops in (OPS, choose_pixel_ops(opencv=False)):
        for size in (20, 64, 200):
            tensor = ops.tensor(ops.resize(pixels, size, size), flip=True)
            assert tensor.shape == (3, size, size)
            assert tensor.is_contiguous()


@pytest.mark.parametrize("flip", [False, True])
def test_unpacking_equals_numpys(flip):
    pixels = np.array(photograph(30, 20))
    assert np.array_equal(OPS.unpack(pixels, flip), unpack_numpy(pixels, flip))


@pytest.mark.parametrize("arguments", [{"size": 4}, {"size": 32, "resize": 16}])
def test_impossible_sizes_are_refused(arguments):
    with pytest.raises(ValueError, match="size="):
        Preprocess(**arguments)
