"""Runs suites and keeps their rows: whole ones in place of the last, and what an ended run had by then."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple

from benchmarks.measure.host_facts import describe_machine, one_line
from benchmarks.measure.results import add_suite, machine_of, read_results, rows_of
from benchmarks.suites import Bench, BudgetSpent, Row, Suite


@dataclass(frozen=True)
class Keeper:
    """Where the rows of one run of the benchmarks go.

    ``missing_only``: continue an earlier run. ``keep_early``: what was measured when time is over takes the
    place of the suite's earlier rows, even of whole ones.
    """

    path: Path
    host: str
    bench: Bench
    missing_only: bool = False
    keep_early: bool = False

    def run(self, suite: Suite) -> bool:
        """Measure one suite; one that cannot be measured leaves the others, and its last rows, alone."""
        machine = describe_machine(self.bench.device)
        held = self._held(suite, machine)
        if held and "group" not in held[0]:
            print(f"{suite.name}: held already")
            return True
        print(f"{suite.name}: {suite.what} ({one_line(machine)})", flush=True)
        started = time.monotonic()

        def keep(rows: List[Row]) -> None:
            add_suite(self.path, self.host, suite.name, self._section(suite, machine, rows, started))

        bench = replace(self.bench, held=held)
        nothing_lost = held or not rows_of(read_results(self.path), suite.name)
        if nothing_lost or self.keep_early:
            bench = replace(bench, keep=keep)
        try:
            rows = suite.measure(bench)
        except BudgetSpent:
            print(f"  {suite.name}: stopped, as its time is over; --missing continues", file=sys.stderr)
            return False
        except Exception as error:  # whatever it is: what was measured so far is worth a report
            print(f"  {suite.name} failed: {type(error).__name__}: {error}", file=sys.stderr)
            return False
        keep(rows)
        return True

    def _section(
        self, suite: Suite, machine: Mapping[str, Any], rows: List[Row], started: float
    ) -> Dict[str, Any]:
        device, threads = self.bench.device, self.bench.threads
        return {
            "machine": machine,
            "threads": threads,
            "command": f"python -m benchmarks --suite {suite.name} --device {device} --threads {threads}",
            "seconds": round(time.monotonic() - started, 1),
            "rows": rows,
        }

    def _held(self, suite: Suite, machine: Mapping[str, Any]) -> Tuple[Row, ...]:
        """Rows that need not be measured: those a continued run finds, and those of models not asked for.

        Refuses those of other versions or another machine.
        """
        results = read_results(self.path)
        held = [row for row in rows_of(results, suite.name) if self._is_held(row)]
        if not held:
            return ()
        assert results is not None
        before = machine_of(results, suite.name)
        option = "--missing" if self.missing_only else "--models"
        for fact in ("cpu", "gpu", "versions"):
            if before.get(fact) != machine.get(fact):
                raise ValueError(
                    f"{option}: {suite.name} was measured with {fact} {before.get(fact)}, here is "
                    f"{machine.get(fact)}; run it without {option}"
                )
        return tuple(held)

    def _is_held(self, row: Row) -> bool:
        others = bool(self.bench.models) and row.get("model", "") not in ("", *self.bench.models)
        return others or (self.missing_only and row["kind"] != "not measured")
