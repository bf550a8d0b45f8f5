"""How fast one core turns JPEG files into training images of 224 pixels, with each decoder.

Real photographs (see make_tree.py) at 500x375, quality 75 to 95, read from files in the page cache; one
process, one thread, CPU time. All cases take turns in every round, so that another program on the machine
slows all of them; the ratios are medians over the rounds, to torchvision's ImageFolder + RandomResizedCrop +
PIL (random flip and PILToTensor included) and to the bare JPEG library's full decode. What is not installed
is a row that says so, and the ratios to it are left out.
"""

from __future__ import annotations

import collections
import importlib
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import torch

from benchmarks.measure.harness import Spread, ratio, take_turns, timed
from benchmarks.measure.make_tree import QUALITIES, SIZE, encode, photographs
from ipu_app.data.datasets import open_dataset
from ipu_app.data.pixel_ops import choose_pixel_ops
from ipu_app.data.transforms import Preprocess

IMAGE_PIXELS = 224
BASELINE, BARE = "torchvision", "bare_simplejpeg"
PASSES = 2  # over all images in a turn: the crops, which are random, differ in cost
NEEDS = {  # case -> the package without which it is absent
    BASELINE: "torchvision",
    "torchvision_floats": "torchvision",
    BARE: "simplejpeg",
    "bare_pil": "PIL",
    "bare_torchvision": "torchvision",
}
PACKAGES = {"sklearn": "scikit-learn", "skimage": "scikit-image"}

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


def is_installed(package: str) -> bool:
    """Tell whether a package can be imported; one that is there but broken raises."""
    try:
        importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        return False
    return True


def torchvision_cases(root: Path) -> Dict[str, Case]:
    """What is commonly used: ImageFolder with PIL, to bytes, and to floats as torchvision's recipes do."""
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    crop = [transforms.RandomResizedCrop(IMAGE_PIXELS), transforms.RandomHorizontalFlip()]
    as_bytes = ImageFolder(str(root / "train"), transforms.Compose([*crop, transforms.PILToTensor()]))
    as_floats = ImageFolder(str(root / "train"), transforms.Compose([*crop, transforms.ToTensor()]))
    return {BASELINE: as_bytes.__getitem__, "torchvision_floats": as_floats.__getitem__}


def bare_cases(root: Path) -> Dict[str, Case]:
    """The libraries alone, those that are installed: a whole image, from bytes in memory."""
    import io

    from PIL import Image

    files = [path.read_bytes() for path in sorted((root / "train").rglob("*.jpg"))]
    cases: Dict[str, Case] = {"bare_pil": lambda index: Image.open(io.BytesIO(files[index])).convert("RGB")}
    if is_installed("simplejpeg"):
        import simplejpeg

        cases[BARE] = lambda index: simplejpeg.decode_jpeg(files[index])
    if is_installed("torchvision"):
        from torchvision.io import decode_jpeg

        tensors = [torch.frombuffer(bytearray(content), dtype=torch.uint8) for content in files]
        cases["bare_torchvision"] = lambda index: decode_jpeg(tensors[index])
    return cases


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
            cases = {**bare_cases(root), **our_cases(root, count)}
            if is_installed("torchvision"):
                cases = {**torchvision_cases(root), **cases}
            turns = {name: _turn(prepare, count) for name, prepare in cases.items()}
            seconds = take_turns(turns, rounds=rounds)
    finally:
        torch.set_num_threads(threads)
    return summarise(seconds, count)


def summarise(seconds: Dict[str, List[float]], count: int) -> List[Dict[str, Any]]:
    """Return a row per case: images/s per core, and ratios to the baseline and to the bare library, None
    where that is absent; then a row per absent case.
    """
    images = describe_images(count)
    rows = [
        {
            "case": name,
            "kind": "measured",
            "images": images,
            "images_per_s_per_core": Spread.of([PASSES * count / value for value in times]).to_dict(),
            "times_torchvision": _ratio(seconds.get(BASELINE), times),
            "share_of_bare_decode": _ratio(seconds.get(BARE), times),
        }
        for name, times in seconds.items()
    ]
    absent = [name for name in NEEDS if name not in seconds]
    return [
        *rows,
        *(
            {"case": name, "kind": "not measured", "not_measured": f"{NEEDS[name]} is not installed"}
            for name in absent
        ),
    ]


def describe_images(count: int) -> str:
    """Say what was decoded: files, photographs and where those come from."""
    names = [name for name, _ in photographs()]
    by_package = collections.Counter(PACKAGES[name.split("/")[0]] for name in names)
    sources = " and ".join(f"{number} of {package}" for package, number in by_package.items())
    qualities = f"quality {min(QUALITIES)} to {max(QUALITIES)}"
    return f"{count} JPEGs of {SIZE[0]}x{SIZE[1]}, {qualities}, from {len(names)} photographs ({sources})"


def _ratio(reference: Optional[List[float]], times: List[float]) -> Optional[Dict[str, Any]]:
    return None if reference is None else ratio(reference, times).to_dict()
