"""``python -m benchmarks.soak``: kills, damage, starved disks and changed files, and a table of what held."""

from __future__ import annotations

import argparse
import os
import platform
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import List

import torch

from benchmarks.soak.children import run_function
from benchmarks.soak.fuzz import fuzz_readers
from benchmarks.soak.kills import Subject, prepare, round_of_kills
from benchmarks.soak.score import Score

PAGE = Path(__file__).resolve().parents[2] / "docs" / "soak.md"
FLAT = 0.02  # growth of memory and descriptors that passes for none
FUZZED, REPEATED = 0.05, 6  # share of the time for changed files; runs in one process for flatness


def main() -> int:
    """Soak for ``--minutes``; 1 where anything was lost."""
    parser = argparse.ArgumentParser(prog="benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help=f"write the table into {PAGE.name}")
    args = parser.parse_args()
    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    score, draw = Score(folder / "evidence"), random.Random(args.seed)
    score.evidence.mkdir()
    torch.set_num_threads(1)
    subjects = [prepare(folder / kind, kind) for kind in ("cpu", "ipu")]
    fuzz_readers(subjects[0].whole, folder, score, draw, 60 * args.minutes * FUZZED)
    while time.monotonic() - started < 60 * args.minutes:
        for subject in subjects:
            round_of_kills(subject, score, draw)
            print("\n".join([f"after {time.monotonic() - started:.0f} s:", *score.table()]), flush=True)
    lines = [*score.table(), "", flatness(subjects[0]), *score.notes]
    print("\n".join(lines))
    if args.write:
        PAGE.write_text(page(lines, (time.monotonic() - started) / 60, args.seed), encoding="utf-8")
    if not score.total_lost:
        shutil.rmtree(folder)
    return 1 if score.total_lost else 0


def flatness(subject: Subject) -> str:
    """Train several times in one process; return in words how memory and descriptors grow after that."""

    def repeat() -> int:
        from ipu_app.__main__ import main as app

        for number in range(REPEATED):
            app(["train", "--config", str(subject.config), "--name", f"again-{number}"])
            print(f"held {_resident_bytes()} {len(os.listdir('/proc/self/fd'))}", flush=True)
        return 0

    ended = run_function(repeat, subject.folder / "log")
    held = [line.split()[1:] for line in ended.text.splitlines() if line.startswith("held ")]
    if len(held) < 3:
        return f"Runs in one process: not measured ({ended.last[:100]})."
    (memory, files), (late_memory, late_files) = ([int(n) for n in row] for row in (held[1], held[-1]))
    growth = (late_memory - memory) / memory
    is_flat = growth <= FLAT and late_files <= files * (1 + FLAT)
    return (
        f"Runs 2 to {REPEATED} in one process: memory {growth:+.1%}, descriptors {files} to {late_files}: "
        f"{'flat' if is_flat else 'NOT flat'} within {FLAT:.0%}."
    )


def _resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def page(lines: List[str], minutes: float, seed: int) -> str:
    """Return the page of the documentation."""
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    head = [
        "# Soak",
        "",
        "A small network on digits is trained on the CPU and on the simulated IPU, killed at random moments",
        "(inside steps, checkpoints, validations and the last evaluations), told to end, starved of room for",
        "its files, and damaged, and goes on each time by a plain `--resume`. In the end its weights,",
        "optimiser, average, random state and rows must be those of a run that was left alone, bit for bit.",
        "`make soak` takes an hour.",
        "",
        f"Measured: {minutes:.0f} minutes, seed {seed}, {os.cpu_count()} cores, {versions}.",
        "",
    ]
    return "\n".join([*head, *lines]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
