"""Makes a folder like ImageNet out of real photographs: ``OUT/{train,val}/<class>/*.jpg``.

The photographs ship inside scikit-learn and, if it is installed, scikit-image; nothing is downloaded. Every
image is a random crop of one of them at ImageNet's usual 500x375 pixels, JPEG quality 75 to 95. Classes
differ by a tint.

    python -m benchmarks.measure.make_tree /tmp/tree --classes 1000 --train 2 --val 1
"""

from __future__ import annotations

import argparse
import importlib.util
import io
from pathlib import Path
from typing import Any, List, Tuple

import numpy as np
from PIL import Image

SIZE = (500, 375)  # width, height: the commonest in ImageNet
QUALITIES = (75, 80, 85, 90, 95)
_PHOTOGRAPHS = (
    ("sklearn", "datasets/images", ("china.jpg", "flower.jpg")),
    (
        "skimage",
        "data",
        ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg", "motorcycle_left.png", "retina.jpg"),
    ),
)


def photographs() -> List[Tuple[str, Any]]:
    """Names and PIL images (RGB) of the photographs found in installed packages; ValueError if there
    are none.
    """
    found = []
    for package, folder, names in _PHOTOGRAPHS:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            continue
        paths = [Path(spec.origin).parent / folder / name for name in names]
        for path in paths:
            if path.is_file():
                with Image.open(path) as image:
                    found.append((f"{package}/{path.name}", image.convert("RGB")))
    if not found:
        raise ValueError("no photographs: install scikit-learn, or scikit-image, which ship some")
    return found


def encode(image: Any, quality: int) -> bytes:
    """JPEG bytes with PIL's usual 4:2:0 chroma."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def draw_photograph(photos: List[Tuple[str, Any]], label: int, random: np.random.Generator) -> bytes:
    """One JPEG: a random part, at least a half each way, of a photograph, tinted by class."""
    image = photos[int(random.integers(len(photos)))][1]
    width, height = (int(side * random.uniform(0.5, 1)) for side in image.size)
    left, top = int(random.integers(image.width - width + 1)), int(random.integers(image.height - height + 1))
    image = image.crop((left, top, left + width, top + height)).resize(SIZE, Image.BICUBIC)
    tint = 0.6 + 0.4 * np.cos(2 * np.pi * (np.arange(3) / 3 + label / 10))
    pixels = (np.asarray(image) * tint).astype(np.uint8)
    return encode(Image.fromarray(pixels), int(random.choice(QUALITIES)))


def make_tree(out: Path, *, classes: int, train: int, val: int, seed: int = 0) -> int:
    """Writes ``train`` and ``val`` images of each class below ``out``; returns the number of files."""
    photos, count = photographs(), 0
    random = np.random.Generator(np.random.Philox(key=[seed, 0]))
    for split, per_class in (("train", train), ("val", val)):
        for label in range(classes):
            folder = out / split / f"n{label:08d}"
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(per_class):
                (folder / f"{number:05d}.JPEG").write_bytes(draw_photograph(photos, label, random))
                count += 1
    return count


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--train", type=int, default=2, help="training images a class (default 2)")
    parser.add_argument("--val", type=int, default=1, help="validation images a class (default 1)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    count = make_tree(args.out, classes=args.classes, train=args.train, val=args.val, seed=args.seed)
    print(f"wrote {count} images of {args.classes} classes below {args.out}")


if __name__ == "__main__":
    main()
