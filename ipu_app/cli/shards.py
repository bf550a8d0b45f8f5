"""`ipu_app shards DATA OUT`: a data set as tar shards, for storage that dislikes small files."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from pipelines.words import counted

HELP = "write a data set as tar shards (WebDataset's form)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """DATA as for train, OUT a new folder, and the size of a shard."""
    parser.add_argument(
        "data", metavar="DATA", help="folder in ImageFolder or CIFAR layout, digits, or generated:N"
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="new folder; train it with --data OUT")
    parser.add_argument(
        "--samples-per-shard",
        type=int,
        default=2000,
        metavar="N",
        help="images in one tar file (default 2000)",
    )


def run(args: argparse.Namespace) -> int:
    """Write the shards of both splits and print what they hold and what was left out."""
    if not args.data:
        raise ValueError("data='': give a folder, digits, or generated:N")
    from ipu_app.data.datasets import open_source
    from ipu_app.data.shard_writer import write_shards

    sources = {split: open_source(args.data, split, size=32) for split in ("train", "val")}
    for source in sources.values():
        for problem in source.problems:
            print(f"note: {problem}")
    written = write_shards(sources, args.out, samples_per_shard=args.samples_per_shard, report=print)
    for split, part in written.items():
        entry = part.entry
        size = sum(shard["bytes"] for shard in entry["shards"])
        images, shards = counted(entry["samples"], "image"), counted(len(entry["shards"]), "shard")
        print(f"{split}: {images} in {shards}, {size / 1e6:.1f} MB")
        if part.skipped:
            names = ", ".join(part.skipped[:5]) + (", ..." if len(part.skipped) > 5 else "")
            print(f"{split}: {counted(len(part.skipped), 'unreadable image')} left out: {names}")
    print(f"wrote {os.fspath(args.out)}: {counted(len(next(iter(sources.values())).classes), 'class')}")
    return 0
