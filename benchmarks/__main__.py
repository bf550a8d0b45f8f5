"""``make bench``: measure, estimate, and put both beside what was published.

    python -m benchmarks [--suite NAME ...] [--device cpu|cuda] [--threads N] [--out FOLDER] [--missing]

Writes ``<host-kind>.json`` (every suite with its machine, versions, command and date), ``report.html`` and
pictures; prints the claims and the table of networks. Suites that do not run keep their last results.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Optional, Sequence

from benchmarks.keeper import Keeper
from benchmarks.machine import describe_machine, host_kind, usable_cores
from benchmarks.results import FOLDER, read_results, results_path
from benchmarks.suites import SUITES, Bench, chosen_suites
from benchmarks.tables import Table


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
    parser.add_argument("--report-only", action="store_true", help="only make the report from the results")
    args = parser.parse_args(argv)
    if args.threads is not None and args.threads < 1:
        raise ValueError(f"--threads={args.threads}: must be 1 or more")
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
    bench = Bench(device, threads, say=lambda line: print(line, flush=True))
    keeper = Keeper(path, host, bench, missing_only=args.missing)
    failed = [suite.name for suite in suites if not keeper.run(suite)]
    results = read_results(path)
    if results is None:
        raise ValueError(f"--report-only: there are no results in {path} yet; run make bench first")
    from benchmarks.report import make_tables, write_report

    tables = make_tables(results, args.out)
    for table in tables[: 3 if "networks" in results["suites"] else 1]:
        print_table(table)
    print(f"results: {path}\nreport:  {write_report(results, args.out, tables)}")
    if failed:
        print(f"benchmarks: error: not measured: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


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
    shown = RichTable(title=table.title, caption=table.note)
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
