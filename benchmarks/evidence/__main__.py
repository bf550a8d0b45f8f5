"""Runs the experiments and writes ``evidence.json``, ``evidence.md`` and a PNG picture for each part.

    python -m benchmarks.evidence [--only power,micro_batch,group_size,half_resolution] [--out DIR]

All is measured here, on the CPU: first the times of steps, with nothing else running, then the rest in two
processes of one thread each. Seeds are fixed, and no result but the times depends on the number of processes.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import List, Optional, Sequence

from benchmarks.evidence.parts import PARTS
from benchmarks.evidence.record import make_record, write_results
from benchmarks.evidence.settings import FULL, QUICK
from benchmarks.measure.results import FOLDER


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the chosen parts and write their results."""
    args = _parse(argv)
    try:
        parts = _chosen(args.only)
        if args.workers < 0:
            raise ValueError(f"--workers={args.workers}: must be 0 (no further process) or more")
        if args.out is None and (args.quick or len(parts) < len(PARTS)):
            raise ValueError("--out: needed with --quick or --only, to keep the full results")
    except ValueError as error:
        print(f"evidence: error: {error}", file=sys.stderr)
        return 2
    settings = QUICK if args.quick else FULL
    started = time.perf_counter()

    def progress(text: str) -> None:
        print(f"[{time.perf_counter() - started:5.0f} s] {text}", file=sys.stderr, flush=True)

    record = make_record(parts, settings, workers=args.workers, progress=progress)
    out = args.out or FOLDER
    write_results(record, settings, out)
    for part in record["parts"].values():
        print("\n".join(f"{sentence}" for sentence in part["sentences"]))
    print(out / "evidence.md")
    return 0


def _parse(argv: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="evidence", description=__doc__.splitlines()[0])
    parser.add_argument("--only", help=f"parts to run, separated by commas: {','.join(PARTS)}")
    parser.add_argument("--out", type=Path, help=f"folder of the results (default {FOLDER.name})")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each (default 2)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, for tests: means nothing")
    return parser.parse_args(argv)


def _chosen(only: Optional[str]) -> List[str]:
    """The parts named, in the order in which they are shown."""
    named = list(PARTS) if only is None else only.split(",")
    unknown = [name for name in named if name not in PARTS]
    if unknown:
        raise ValueError(f"--only={unknown[0]}: choose from {', '.join(PARTS)}")
    return [name for name in PARTS if name in named]


if __name__ == "__main__":
    sys.exit(main())
