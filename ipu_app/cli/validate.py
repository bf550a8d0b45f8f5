"""``ipu_app validate RUN``: classify the validation images with a finished run's weights."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import List

from ipu_app.config.kinds import DEVICES

HELP = "classify the validation images with a finished run's weights"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``validate``."""
    parser.add_argument("run", metavar="RUN", help="a run's folder, or one of its checkpoints")
    parser.add_argument("--res", type=int, nargs="+", metavar="PX", help="resolutions (default: the run's)")
    parser.add_argument("--data", help="other data than the run's")
    parser.add_argument("--device", default="auto", help=", ".join(("auto", *DEVICES)))
    parser.add_argument("--raw", action="store_true", help="use the weights as trained, not their average")
    parser.add_argument("--per-class", action="store_true", help="print the accuracy of every class")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="set any configuration value"
    )


def run(args: argparse.Namespace) -> int:
    """Print loss, top-1 and top-5 at each resolution; returns 0."""
    for resolution in args.res or ():
        if resolution < 32:
            raise ValueError(f"res={resolution}: must be 32 or more")
    from ipu_app.inference.validate import note_lines, speaks_here, validate_run

    results = validate_run(
        Path(args.run),
        resolutions=args.res or (),
        overrides=_overrides(args),
        averaged=not args.raw,
    )
    if not speaks_here():
        return 0
    if args.json:
        from pipelines.door import to_json

        print(to_json([result.to_dict() for result in results], indent=2))
        return 0
    print(f"device: {results[0].device}")
    for result in results:
        print(result.line())
        if args.per_class:
            print("\n".join(result.class_lines()))
    for note in note_lines(results):
        print(note if note.startswith("warning: ") else f"note: {note}")
    return 0


def _overrides(args: argparse.Namespace) -> List[str]:
    from ipu_app.cli.train_config import quoted

    overrides = [f"device.kind={args.device}"]
    if args.data is not None:
        overrides.append(f"data.source={quoted(args.data)}")
    return overrides + list(args.set)
