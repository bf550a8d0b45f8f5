"""Image files for tests: photographs of one colour each, a class for each colour."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Sequence, Tuple

import numpy as np
from PIL import Image

CLASSES = ("blue", "green", "red")


class ImagesRun(NamedTuple):
    """A finished run and what it was made from."""

    path: Path
    data: Path
    config: Path


def make_images(root: Path, *, splits: Tuple[str, ...] = ("train", "val"), count: int = 8) -> Path:
    """Write ``count`` noisy images of each class and split in ImageFolder's layout; return ``root``."""
    random = np.random.default_rng(0)
    for split in splits:
        for channel, name in zip((2, 1, 0), CLASSES):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 60, (40, 50, 3))
                pixels[..., channel] += 150
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.jpg")
    return root


def make_tree(root: Path, classes: Sequence[str], *, train: int, val: int) -> Path:
    """Write a tree like ImageNet's with many classes and few small images, each class of one colour."""
    random = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for name in classes:
            folder = root / split / name
            folder.mkdir(parents=True)
            colour = random.integers(0, 190, 3)
            for number in range(count):
                pixels = random.integers(0, 60, (40, 52, 3)) + colour
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.JPEG")
    return root


def spoil(root: Path) -> None:
    """Put into a tree of ``make_images`` what is found in the wild, from harmless to broken."""
    train, val = root / "train", root / "val"
    photo = Image.open(train / "red" / "0.jpg").convert("RGB")
    (train / "nothing").mkdir()
    (val / "only here").mkdir()
    photo.save(val / "only here" / "0.jpg")
    for folder in (train / "red", val / "red"):
        (folder / "text.jpg").write_text("no image")
        (folder / "empty.jpg").write_bytes(b"")
        (folder / "cut.jpg").write_bytes((folder / "0.jpg").read_bytes()[:400])
        photo.convert("CMYK").save(folder / "cmyk.jpg")
        photo.convert("L").save(folder / "grey.png")
        Image.fromarray(np.full((40, 50), 40000, dtype=np.uint16)).save(folder / "sixteen bits.png")
        turned = Image.Exif()
        turned[274] = 6  # the tag of orientation: a quarter turn
        photo.save(folder / "turned.jpg", exif=turned)
    (train / "red" / "loop").symlink_to(train, target_is_directory=True)
    (train / "red" / "itself").symlink_to("itself")
    (train / "red" / "gone.jpg").symlink_to("/nowhere/at/all.jpg")
