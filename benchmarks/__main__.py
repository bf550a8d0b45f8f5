"""``make bench``: measure, estimate, and put both beside what was published.

    python -m benchmarks [--suite NAME ...] [--device cpu|cuda] [--threads N] [--out FOLDER] [--missing]
                         [--models b0 b4 ...] [--budget MINUTES]

Writes ``<host-kind>.json`` (every suite with its machine, versions, command and date), ``report.html`` and
pictures; prints the claims and the table of networks, and brings the README's table up to date. Suites that
do not run keep their last results.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Callable, Optional, Sequence

from benchmarks.keeper import Keeper
from benchmarks.measure.host_facts import describe_machine, host_kind, usable_cores
from benchmarks.measure.results import FOLDER, Results, read_results, results_path
from benchmarks.report.table import Table
from benchmarks.suites import SUITES, Bench, chosen_models, chosen_suites

PRINTED = (
    "Claims and what was found",
    "Training images/s",
    "B0: group size and norm",
    "As the application trains",
    "On 16 IPUs and on GPUs",
)


def parse(argv: Optional[Sequence[str]]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__.splitlines()[0])
    names = "; ".join(f"{suite.name}: {suite.what}" for suite in SUITES.values())
    parser.add_argument("--suite", nargs="+", default=[], metavar="NAME", help=names)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--threads", type=int, help="CPU threads (default: the cores that may be used)")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder for results and report")
    parser.add_argument(
        "--missing", action="store_true", help="continue: measure only what the results do not hold yet"
    )
    parser.add_argument("--models", nargs="+", default=[], metavar="NAME", help="networks: only these models")
    parser.add_argument(
        "--budget",
        type=float,
        metavar="MINUTES",
        help="stop between two cases once this time is over; what was measured is kept in place of the "
        "suite's earlier rows, and --missing continues",
    )
    parser.add_argument("--report-only", action="store_true", help="only make the report from the results")
    args = parser.parse_args(argv)
    if args.threads is not None and args.threads < 1:
        raise ValueError(f"--threads={args.threads}: must be 1 or more")
    if args.budget is not None and not args.budget > 0:
        raise ValueError(f"--budget={args.budget:g}: must be more than 0 minutes")
    return args


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the chosen suites, then report; returns the exit code."""
    args = parse(argv)
    threads = args.threads or usable_cores()
    _set_environ(threads)
    device = _device(args.device)
    suites = [] if args.report_only else chosen_suites(args.suite, device)
    host = host_kind(describe_machine(device))
    path = results_path(host, args.out)
    bench = Bench(
        device,
        threads,
        say=lambda line: print(line, flush=True),
        is_over=_deadline(args.budget),
        models=chosen_models(args.models),
    )
    keeper = Keeper(path, host, bench, missing_only=args.missing, keep_early=args.budget is not None)
    failed = [suite.name for suite in suites if bench.is_over() or not keeper.run(suite)]
    results = read_results(path)
    if results is None and args.report_only:
        raise ValueError(f"--report-only: there are no results in {path} yet; run make bench first")
    if results is not None:
        _report(results, path, args.out)
    if failed:
        print(f"benchmarks: error: not measured, or not all: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _report(results: Results, path: Path, folder: Path) -> None:
    """Print the claims and the networks, and write the report and, for its machine, the README's table."""
    from benchmarks.report.page import make_tables, write_report
    from benchmarks.report.readme import HOST, refresh_readme

    tables = make_tables(results, folder)
    for table in tables:
        if table.title in PRINTED:
            print_table(table)
    print(f"results: {path}\nreport:  {write_report(results, folder, tables)}")
    if folder == FOLDER and results["host"] == HOST:
        refresh_readme(results)


def _deadline(minutes: Optional[float]) -> Callable[[], bool]:
    """Return what tells whether so many minutes have passed since now."""
    if minutes is None:
        return lambda: False
    end = time.monotonic() + 60 * minutes
    return lambda: time.monotonic() >= end


def _set_environ(threads: int) -> None:
    """Set what every measuring process has to find when it starts, before torch is imported."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    os.environ.setdefault("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")  # else times depend on stray pages
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")  # a look at CUDA must not forbid to fork


def _device(asked: str) -> str:
    if asked == "cpu":
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if asked == "cuda":
        raise ValueError("--device=cuda: torch sees no CUDA GPU here; use cpu")
    return "cpu"


def print_table(table: Table) -> None:
    """Print a table as wide as it needs to be where the output is no terminal."""
    from rich.console import Console
    from rich.table import Table as RichTable

    console = Console(width=None if sys.stdout.isatty() else 200)
    shown = RichTable(title=table.title, caption=" ".join((table.note, table.below)))
    for index, name in enumerate(table.head):
        shown.add_column(name, justify="right" if index in table.numbers else "left")
    for row in table.rows:
        shown.add_row(*row)
    console.print(shown)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ValueError as error:
        print(f"benchmarks: error: {error}", file=sys.stderr)
        sys.exit(2)
