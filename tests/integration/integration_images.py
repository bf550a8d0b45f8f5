"""Image files for tests: photographs of one colour each, a class for each colour."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Tuple

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
