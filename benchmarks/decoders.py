"""How fast one core turns JPEG files into training images of 224 pixels, with each decoder.

Real photographs (see make_tree.py) at 500x375, quality 75 to 95, read from files in the page cache; one
process, one thread, CPU time. All cases take turns in every round, so that another program on the machine
slows all of them; the ratios are medians over the rounds. Goals: the default loader at 2.5 times
torchvision's ImageFolder + RandomResizedCrop + PIL (random flip and PILToTensor included), and 80 % of the
bare JPEG library's full decode.

    OMP_NUM_THREADS=1 python -m benchmarks.decoders --rounds 60
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import os
import platform
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any, Callable, Dict, List

import torch

from benchmarks.make_tree import QUALITIES, SIZE, encode, photographs
from ipu_app.data.datasets import open_dataset
from ipu_app.data.pixel_ops import choose_pixel_ops
from ipu_app.data.transforms import Preprocess

IMAGE_PIXELS = 224
BASELINE, BARE = "torchvision", "bare_simplejpeg"
_PACKAGES = ("torch", "torchvision", "PIL", "simplejpeg", "cv2", "numpy")

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


def measure(cases: Dict[str, Case], count: int, rounds: int) -> Dict[str, List[float]]:
    """CPU seconds per image of each case, in every round after a first one that is not kept."""
    seconds: Dict[str, List[float]] = {name: [] for name in cases}
    for number in range(rounds + 1):
        for name, prepare in cases.items():
            start = time.process_time()
            for index in range(count):
                prepare(index)
            if number:
                seconds[name].append((time.process_time() - start) / count)
    return seconds


def summarise(seconds: Dict[str, List[float]]) -> List[Dict[str, Any]]:
    """A row per case: images/s/core (median and quartiles) and ratios to the baseline and the bare
    library.
    """
    rows = []
    for name, times in seconds.items():
        quartiles = [1 / value for value in statistics.quantiles(times, n=4)]
        ratio = {
            other: statistics.median(theirs / ours for theirs, ours in zip(seconds[other], times))
            for other in (BASELINE, BARE)
        }
        rows.append(
            {
                "case": name,
                "kind": "measured",
                "images_per_s_per_core": round(quartiles[1], 1),
                "quartiles": [round(quartiles[2], 1), round(quartiles[0], 1)],
                "times_torchvision": round(ratio[BASELINE], 3),
                "share_of_bare_decode": round(ratio[BARE], 3),
                "rounds": len(times),
            }
        )
    return rows


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def describe_machine() -> Dict[str, Any]:
    """Processor, versions, and how busy the machine was."""
    versions = {name: importlib.import_module(name).__version__ for name in _PACKAGES if _is_installed(name)}
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "versions": {"python": platform.python_version(), **versions},
    }


def _is_installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def main() -> None:
    """Command line: measure, print a table, write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "decoders.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", DeprecationWarning)  # torchvision's decoder, here for comparison
    machine = describe_machine()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        count = write_images(root)
        size = sum(path.stat().st_size for path in root.rglob("*.jpg")) / count
        cases = {**torchvision_cases(root), **bare_cases(root), **our_cases(root, count)}
        rows = summarise(measure(cases, count, args.rounds))
    result = {
        "command": "OMP_NUM_THREADS=1 python -m benchmarks.decoders --rounds " + str(args.rounds),
        "date": datetime.date.today().isoformat(),
        "images": f"{count} JPEGs, {SIZE[0]}x{SIZE[1]}, quality {min(QUALITIES)}-{max(QUALITIES)}",
        "mean_bytes": round(size),
        "machine": machine,
        "rows": rows,
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    print_table(rows, sys.stdout)


def print_table(rows: List[Dict[str, Any]], file: Any) -> None:
    """The rows for people."""
    print(f"{'case':24} {'images/s/core':>14} {'x torchvision':>14} {'of bare decode':>15}", file=file)
    for row in rows:
        print(
            f"{row['case']:24} {row['images_per_s_per_core']:14.1f} {row['times_torchvision']:14.2f} "
            f"{row['share_of_bare_decode']:15.0%}",
            file=file,
        )


if __name__ == "__main__":
    main()
