"""What RandAugment costs on one core, two operations an image of 224 pixels, beside torchvision's and timm's.

The images are crops of real photographs as the loader makes them (see decoders.py), in memory. One thread,
CPU time; all cases take turns, and the first one, decoding and cropping the 500x375 JPEGs, is what the others
are measured against. The libraries' own operations differ a little from ours in kind and number.
"""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence

import numpy as np
import torch

from benchmarks.measure.decoders import IMAGE_PIXELS, describe_images, is_installed, write_images
from benchmarks.measure.harness import Spread, ratio, take_turns, timed
from ipu_app.data.datasets import open_dataset
from ipu_app.data.keyed_random import KeyedRandom
from ipu_app.data.pixel_tables import choose_pixel_tables
from ipu_app.data.policies import AutoAugment, RandAugment
from ipu_app.data.transforms import Preprocess

CROP = "decode and crop"
OURS = "RandAugment"
MAGNITUDE = 10.0
NEEDS = {"torchvision, PIL images": "torchvision", "torchvision, tensors": "torchvision", "timm": "timm"}
PASSES = 2  # over all images in a turn: operations, which are random, differ in cost

Case = Callable[[int, int], Any]  # prepares the image of that number in that pass


def our_cases(images: Sequence[np.ndarray]) -> Dict[str, Case]:
    """Return the policies of this repository; one through numpy alone."""

    def case(policy: Callable[..., Any], index: int, draw: int) -> Any:
        return policy(images[index], KeyedRandom(draw, index))

    rand, numpy_only = RandAugment(MAGNITUDE), choose_pixel_tables(opencv=False)
    return {
        OURS: partial(case, rand),
        f"{OURS} by numpy": partial(case, partial(rand, tables=numpy_only)),
        "AutoAugment v0": partial(case, AutoAugment()),
    }


def library_cases(images: Sequence[np.ndarray]) -> Dict[str, Case]:
    """Return the libraries' that are installed, in their usual strength and each on its own kind of image."""
    from PIL import Image

    pictures = [Image.fromarray(image) for image in images]
    cases: Dict[str, Case] = {}
    if is_installed("torchvision"):
        from torchvision.transforms import RandAugment as Torchvision

        theirs = Torchvision(num_ops=2, magnitude=int(MAGNITUDE))
        tensors = [torch.from_numpy(image).permute(2, 0, 1).contiguous() for image in images]
        cases["torchvision, PIL images"] = lambda index, _: theirs(pictures[index])
        cases["torchvision, tensors"] = lambda index, _: theirs(tensors[index])
    if is_installed("timm"):
        from timm.data.auto_augment import rand_augment_transform

        timms = rand_augment_transform(f"rand-m{int(MAGNITUDE)}-n2", {})
        cases["timm"] = lambda index, _: timms(pictures[index])
    return cases


def _turn(prepare: Case, count: int) -> Callable[[], float]:
    current = {"draw": 0}

    def all_images() -> None:
        for _ in range(PASSES):
            current["draw"] += 1
            for index in range(count):
                prepare(index, current["draw"])

    return timed(all_images, time.process_time)


def measure(rounds: int) -> List[Dict[str, Any]]:
    """Make the images, measure all cases, and return a row for each."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            count = write_images(Path(folder))
            data = open_dataset(folder, "train", Preprocess(IMAGE_PIXELS, augment=True))
            images = [np.ascontiguousarray(data[key][0].permute(1, 2, 0).numpy()) for key in range(len(data))]
            cases = {**our_cases(images), **library_cases(images)}
            cases[CROP] = lambda index, draw: data[draw * count + index]
            turns = {name: _turn(prepare, count) for name, prepare in cases.items()}
            return summarise(take_turns(turns, rounds=rounds), count)
    finally:
        torch.set_num_threads(threads)


def summarise(seconds: Dict[str, List[float]], count: int) -> List[Dict[str, Any]]:
    """Return a row per case, microseconds an image and share of decoding and cropping; then the absent."""
    rows: List[Dict[str, Any]] = [
        {
            "case": name,
            "kind": "measured",
            "images": describe_images(count),
            "us_per_image": Spread.of([1e6 * value / (PASSES * count) for value in times]).to_dict(),
            "share_of_crop": _share(times, seconds[CROP], name),
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


def _share(times: List[float], crop: List[float], name: str) -> Optional[Dict[str, Any]]:
    return None if name == CROP else ratio(times, crop).to_dict()
