"""How fast one core turns JPEG files into training images of 224 pixels, with each decoder.

Real photographs (see make_tree.py) at 500x375, quality 75 to 95, read from files in the page cache; one
process, one thread, CPU time. All cases take turns in every round, so that another program on the machine
slows all of them; the ratios are medians over the rounds, to torchvision's ImageFolder + RandomResizedCrop +
PIL (random flip and PILToTensor included) and to the bare JPEG library's full decode.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from pathlib import Path
from typing import Any, Callable, Dict, List

import torch

from benchmarks.harness import Spread, ratio, take_turns, timed
from benchmarks.make_tree import QUALITIES, SIZE, encode, photographs
from ipu_app.data.datasets import open_dataset
from ipu_app.data.pixel_ops import choose_pixel_ops
from ipu_app.data.transforms import Preprocess

IMAGE_PIXELS = 224
BASELINE, BARE = "torchvision", "bare_simplejpeg"
PASSES = 5  # over all images in a turn: the crops, which are random, differ in cost

Case = Callable[[int], Any]  # prepares the image of that number


def write_images(root: Path) -> int:
    """One class of every photograph at every quality, as ImageFolder; returns the number of files."""
    folder = root / "train" / "photographs"
    folder.mkdir(parents=True)
    count = 0
    for _, image in photographs():
        for quality in QUALITIES:
            (folder / f"{count:04d}.jpg").write_bytes(encode(image.resize(SIZE), quality))
            count += 1
    return count


def our_cases(root: Path, count: int) -> Dict[str, Case]:
    """This repository's loader: as it chooses by itself, without OpenCV, and with PIL's decoder."""
    current = {"epoch": 0}

    def case(dataset: Any) -> Case:
        def prepare(index: int) -> Any:
            current["epoch"] += index == 0
            return dataset[current["epoch"] * count + index]

        return prepare

    auto = open_dataset(str(root), "train", Preprocess(IMAGE_PIXELS, augment=True))
    pil = open_dataset(str(root), "train", Preprocess(IMAGE_PIXELS, augment=True, decoder="pil"))
    without_opencv = open_dataset(
        str(root),
        "train",
        Preprocess(IMAGE_PIXELS, augment=True),
        pixel_ops=choose_pixel_ops(opencv=False),
    )
    return {"loader": case(auto), "loader_without_opencv": case(without_opencv), "loader_pil": case(pil)}


def torchvision_cases(root: Path) -> Dict[str, Case]:
    """What is commonly used: ImageFolder with PIL, to bytes, and to floats as torchvision's recipes do."""
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    crop = [transforms.RandomResizedCrop(IMAGE_PIXELS), transforms.RandomHorizontalFlip()]
    as_bytes = ImageFolder(str(root / "train"), transforms.Compose([*crop, transforms.PILToTensor()]))
    as_floats = ImageFolder(str(root / "train"), transforms.Compose([*crop, transforms.ToTensor()]))
    return {BASELINE: as_bytes.__getitem__, "torchvision_floats": as_floats.__getitem__}


def bare_cases(root: Path) -> Dict[str, Case]:
    """The libraries alone: a whole image, from bytes in memory."""
    import io

    import simplejpeg
    from PIL import Image
    from torchvision.io import decode_jpeg

    files = [path.read_bytes() for path in sorted((root / "train").rglob("*.jpg"))]
    tensors = [torch.frombuffer(bytearray(content), dtype=torch.uint8) for content in files]
    return {
        BARE: lambda index: simplejpeg.decode_jpeg(files[index]),
        "bare_pil": lambda index: Image.open(io.BytesIO(files[index])).convert("RGB"),
        "bare_torchvision": lambda index: decode_jpeg(tensors[index]),
    }


def _turn(prepare: Case, count: int) -> Callable[[], float]:
    def all_images() -> None:
        for _ in range(PASSES):
            for index in range(count):
                prepare(index)

    return timed(all_images, time.process_time)


def measure(rounds: int) -> List[Dict[str, Any]]:
    """Make the images, measure all cases, and return a row for each."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torchvision's decoder, here for comparison
            root = Path(folder)
            count = write_images(root)
            cases = {**torchvision_cases(root), **bare_cases(root), **our_cases(root, count)}
            turns = {name: _turn(prepare, count) for name, prepare in cases.items()}
            seconds = take_turns(turns, rounds=rounds)
    finally:
        torch.set_num_threads(threads)
    return summarise(seconds, count)


def summarise(seconds: Dict[str, List[float]], count: int) -> List[Dict[str, Any]]:
    """Return a row per case: images/s per core, and ratios to the baseline and to the bare library."""
    images = f"{count} JPEGs of {SIZE[0]}x{SIZE[1]}, quality {min(QUALITIES)}-{max(QUALITIES)}"
    return [
        {
            "case": name,
            "kind": "measured",
            "images": images,
            "images_per_s_per_core": Spread.of([PASSES * count / value for value in times]).to_dict(),
            "times_torchvision": ratio(seconds[BASELINE], times).to_dict(),
            "share_of_bare_decode": ratio(seconds[BARE], times).to_dict(),
        }
        for name, times in seconds.items()
    ]
