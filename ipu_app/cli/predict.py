"""``ipu_app predict RUN IMAGE...``: name what is in images."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Iterable

if TYPE_CHECKING:
    from ipu_app.inference.predict import Prediction

HELP = "name what is in images, with a finished run's weights"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``predict``."""
    parser.add_argument("run", metavar="RUN", help="a run's folder, or one of its checkpoints")
    parser.add_argument(
        "images",
        metavar="IMAGE",
        nargs="+",
        help="images, folders of images, or .txt lists with a path a line",
    )
    parser.add_argument("--top", type=int, default=5, metavar="N", help="how many classes to name (5)")
    parser.add_argument("--res", type=int, metavar="PX", help="resolution (default: the run's)")
    parser.add_argument("--device", default="auto", help="auto (CUDA, else CPU), ipu, cuda or cpu")
    parser.add_argument("--raw", action="store_true", help="use the weights as trained, not their average")
    parser.add_argument("--json", action="store_true", help="print one JSON array")


def run(args: argparse.Namespace) -> int:
    """Print the likeliest classes of each image; returns 1 where no image could be read, else 0."""
    _check(args)
    from ipu_app.inference.predict import find_images, open_classifier, predict
    from ipu_app.inference.trained import load_trained

    trained = load_trained(Path(args.run), averaged=not args.raw)
    for note in trained.notes:
        print(note, file=sys.stderr)
    images = find_images(args.images)
    with open_classifier(trained, Path(args.run), device=args.device, number=len(images)) as classifier:
        if args.device == "ipu":
            print(f"device: {classifier.device}", file=sys.stderr)
        resolution = args.res or trained.file.resolution
        found = predict(trained, images, classifier, resolution=resolution, top=args.top)
        return _print_json(found) if args.json else _print_lines(found)


def _print_json(found: Iterable[Prediction]) -> int:
    from pipelines.door import to_json

    results = list(found)
    print(to_json([result.to_dict() for result in results], indent=2))
    return 0 if any(result.top for result in results) else 1


def _print_lines(found: Iterable[Prediction]) -> int:
    readable = 0
    for result in found:
        readable += bool(result.top)
        print("\n".join(result.lines()))
    return 0 if readable else 1


def _check(args: argparse.Namespace) -> None:
    if args.top < 1:
        raise ValueError(f"top={args.top}: must be 1 or more")
    if args.res is not None and args.res < 32:
        raise ValueError(f"res={args.res}: must be 32 or more")
