"""Decoders against PIL: the same pixels for any window, every kind of image, clear refusals."""

from __future__ import annotations

import io

import numpy as np
import pytest
from data_images import exif, jpeg, photograph, png
from PIL import Image

from ipu_app.data.decode import choose_decoder, open_image
from ipu_app.data.image import Window, reduction
from ipu_app.data.jpeg import cut_height, parse_header
from ipu_app.data.keyed_random import KeyedRandom
from ipu_app.data.pixel_ops import choose_pixel_ops
from ipu_app.data.source import UnreadableImageError
from ipu_app.data.transforms import train_photo

WIDTH, HEIGHT = 163, 121  # no multiple of a block, to reach the edges
WINDOWS = [
    Window(0, 0, HEIGHT, WIDTH),
    Window(0, 0, 1, 1),
    Window(3, 5, 60, 50),
    Window(0, 100, 47, 63),
    Window(HEIGHT - 1, WIDTH - 1, 1, 1),
    Window(30, 0, 66, WIDTH),
]
KINDS = {
    "420": {"subsampling": 2},
    "422": {"subsampling": 1},
    "444": {"subsampling": 0},
    "progressive": {"progressive": True},
    "optimised": {"optimize": True, "quality": 60},
    "restarts": {"restart_marker_blocks": 3},
}


@pytest.fixture(autouse=True)
def _needs_simplejpeg():
    pytest.importorskip("simplejpeg")


def pixels(data, decoder, window, at_least=10**6, **options):
    return open_image(data, decoder).pixels(window, at_least, **options)


def difference(a, b):
    return np.abs(a.astype(int) - b.astype(int))


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("window", WINDOWS)
def test_any_window_equals_pils(kind, window):
    data = jpeg(photograph(WIDTH, HEIGHT), **KINDS[kind])
    ours, reference = pixels(data, "simplejpeg", window), np.asarray(Image.open(io.BytesIO(data)))
    assert ours.shape == (window.height, window.width, 3)
    # both are libjpeg-turbo, but not always the same version
    assert difference(ours, window.cut(reference)).max() <= 2
    assert difference(ours, pixels(data, "pil", window)).max() <= 2


def test_cutting_the_rows_below_changes_nothing():
    import simplejpeg

    for options in KINDS.values():
        data = jpeg(photograph(WIDTH, HEIGHT), **options)
        whole, header = simplejpeg.decode_jpeg(data), parse_header(data)
        for bottom in range(1, HEIGHT + 1, 7):
            cut = cut_height(data, header, bottom)
            if cut is not None:
                top = simplejpeg.decode_jpeg(cut.data, strict=False)
                assert top.shape[0] == cut.height < HEIGHT
                assert np.array_equal(top[:bottom], whole[:bottom])


def test_only_complete_sequential_files_are_cut():
    data = jpeg(photograph(WIDTH, HEIGHT))
    assert cut_height(data, parse_header(data), 10).height == 16
    assert cut_height(data, parse_header(data), HEIGHT) is None
    assert cut_height(data[:-2], parse_header(data), 10) is None
    progressive = jpeg(photograph(WIDTH, HEIGHT), progressive=True)
    assert cut_height(progressive, parse_header(progressive), 10) is None


@pytest.mark.parametrize("decoder", ["simplejpeg", "pil"])
@pytest.mark.parametrize("factor", [2, 4, 8])
def test_large_windows_are_reduced_and_stay_near(decoder, factor):
    image = photograph(640, 480)
    data = jpeg(image)
    window = Window(16, 32, 448, 560)
    ours = pixels(data, decoder, window, at_least=448 // factor)
    assert ours.shape[:2] == (448 // factor, 560 // factor)
    box = (32, 16, 32 + 560, 16 + 448)
    reference = image.resize((560 // factor, 448 // factor), Image.BOX, box=box)
    assert difference(ours, np.asarray(reference)).mean() < 3


def test_reduction_never_goes_below_the_size():
    assert [reduction(Window(0, 0, 100, 300), size) for size in (101, 100, 51, 50, 25, 12, 1)] == [
        1,
        1,
        1,
        2,
        4,
        8,
        8,
    ]


@pytest.mark.parametrize("quality", [75, 95])
@pytest.mark.parametrize("name", ["china", "flower"])
def test_training_images_agree_between_decoders(quality, name):
    """The promise, for training's fast arithmetic: below 2 levels of 255 on average, below 3 in any image."""
    data, ops = jpeg(photograph(250, 188, name), quality=quality), choose_pixel_ops()
    means = []
    for key in range(20):
        ours, reference = (
            train_photo(open_image(data, decoder), 64, KeyedRandom(0, key), flip=True, ops=ops).numpy()
            for decoder in ("simplejpeg", "pil")
        )
        means.append(difference(ours, reference).mean())
    assert np.mean(means) < 2
    assert max(means) < 3


@pytest.mark.parametrize("decoder", ["simplejpeg", "pil"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(decoder, orientation):
    stored = photograph(48, 32)
    turns = {
        2: Image.FLIP_LEFT_RIGHT,
        3: Image.ROTATE_180,
        4: Image.FLIP_TOP_BOTTOM,
        5: Image.TRANSPOSE,
        6: Image.ROTATE_270,
        7: Image.TRANSVERSE,
        8: Image.ROTATE_90,
    }
    upright = stored.transpose(turns[orientation]) if orientation > 1 else stored
    opened = open_image(jpeg(stored, exif=exif(orientation), quality=98), decoder)
    assert (opened.width, opened.height) == upright.size
    window = Window(1, 2, opened.height - 3, opened.width - 4)
    assert difference(opened.pixels(window, 1000), window.cut(np.asarray(upright))).mean() < 5


@pytest.mark.parametrize("decoder", ["simplejpeg", "pil"])
def test_other_colour_spaces_become_rgb(decoder):
    photo = photograph(40, 30)
    everything = Window(0, 0, 30, 40)
    rgb, grey = np.asarray(photo), np.asarray(photo.convert("L"))
    sixteen = Image.fromarray(grey.astype(np.uint16) * 257)
    palette = photo.convert("P")
    palette.info["transparency"] = b"\x80" * 4
    cases = {
        "grey JPEG": (jpeg(photo.convert("L"), quality=98), grey[..., None]),
        "CMYK JPEG": (jpeg(photo.convert("CMYK"), quality=98), rgb),
        "RGB PNG": (png(photo), rgb),
        "RGBA PNG": (png(photo.convert("RGBA")), rgb),
        "grey PNG": (png(photo.convert("L")), grey[..., None]),
        "16-bit PNG": (png(sixteen), grey[..., None]),
        "palette PNG": (png(photo.convert("P")), np.asarray(photo.convert("P").convert("RGB"))),
        "palette with transparency": (png(palette), np.asarray(photo.convert("P").convert("RGB"))),
    }
    for name, (data, expected) in cases.items():
        array = pixels(data, decoder, everything)
        assert array.dtype == np.uint8, name
        assert array.shape == (30, 40, 3), name
        assert difference(array, np.broadcast_to(expected, array.shape)).mean() < 4, name


def at_size(data, height_and_width):
    """The JPEG with other sizes in its header."""
    at = parse_header(data).height_offset
    return data[:at] + height_and_width + data[at + 4 :]


def broken_images():
    good = jpeg(photograph(64, 48))
    return {
        "empty": b"",
        "text": b"this is no image at all\n" * 20,
        "truncated": good[: len(good) // 2],
        "truncated before the frame": good[:20],
        "truncated progressive": jpeg(photograph(64, 48), progressive=True)[:900],
        "start marker only": b"\xff\xd8",
        "zero size": at_size(good, bytes(4)),
        "truncated PNG": png(photograph(64, 48))[:300],
        "65535 pixels a side": at_size(good, b"\xff\xff\xff\xff"),
        "noise": np.random.default_rng(0).bytes(2000),
        "noise after a JPEG's start": b"\xff\xd8\xff\xe0" + np.random.default_rng(1).bytes(2000),
    }


@pytest.mark.parametrize("decoder", ["simplejpeg", "pil"])
@pytest.mark.parametrize("name", sorted(broken_images()))
def test_damaged_images_are_refused_without_a_warning(decoder, name):
    data = broken_images()[name]
    with pytest.raises(UnreadableImageError):
        image = open_image(data, decoder)
        image.pixels(Window(0, 0, image.height, image.width), 1000)


@pytest.mark.parametrize("decoder", ["simplejpeg", "pil"])
def test_what_libjpeg_only_warns_of_is_read(decoder):
    """Junk after the end, and before a marker: PIL reads both, and such files are in ImageNet."""
    photo = photograph(64, 48)
    data = jpeg(photo, quality=95)
    for odd in (data + b"\0" * 100, data[:-2] + b"\x12\x34\x56" + data[-2:]):
        for window in (Window(0, 0, 48, 64), Window(0, 0, 10, 20)):
            assert difference(pixels(odd, decoder, window), window.cut(np.asarray(photo))).mean() < 4


@pytest.mark.parametrize("damage", range(60))
def test_random_damage_never_escapes(damage):
    """Flipped bytes either decode to something or raise UnreadableImageError: nothing else."""
    random = np.random.default_rng(damage)
    data = bytearray(jpeg(photograph(64, 48), exif=exif(6) if damage % 3 == 0 else b""))
    for place in random.integers(2, len(data) if damage % 2 else 300, size=5):
        data[place] = random.integers(256)
    try:
        image = open_image(bytes(data), "simplejpeg")
        if image.height * image.width < 10**7:
            window = Window(0, 0, max(1, image.height // 2), image.width)
            assert image.pixels(window, 1000).shape[2] == 3
    except UnreadableImageError:
        pass


def test_decoders_are_chosen_by_name():
    assert choose_decoder("auto") == "simplejpeg"
    assert choose_decoder("pil") == "pil"
    with pytest.raises(ValueError, match="data.decoder='quick': choose one of auto, simplejpeg, pil"):
        choose_decoder("quick")
