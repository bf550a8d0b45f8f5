"""Runs groups of cases: every case a process, all cases of a group in turns; a row per case.

A group may be started several times over, because where a process's memory happens to lie changes its times
by some per cent for as long as it lives.
"""

from __future__ import annotations

import contextlib
import statistics
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from benchmarks.measure.cases import Case, Group
from benchmarks.measure.harness import Spread, significant, take_turns
from benchmarks.measure.workers import CaseFailed, Worker

Row = Dict[str, Any]
Say = Callable[[str], None]
MakeWorker = Callable[[Case], Worker]


@dataclass
class _Found:
    """What the starts of one case have given so far."""

    seconds: List[float] = field(default_factory=list)
    first_steps_s: List[float] = field(default_factory=list)
    peaks_mb: List[float] = field(default_factory=list)
    failure: str = ""

    def row(self, case: Case) -> Row:
        """Return what is told of the case."""
        if self.failure:
            return _failed(self.failure)
        rates = Spread.of([case.batch / value for value in self.seconds])
        return {
            "first_step_s": significant(statistics.median(self.first_steps_s)),
            "images_per_s": rates.to_dict(),
            "seconds": [significant(value) for value in self.seconds],
            "peak_memory_mb": round(max(self.peaks_mb)) if self.peaks_mb else None,
        }


def measure_group(group: Group, make_worker: MakeWorker, *, installed: Sequence[str], say: Say) -> List[Row]:
    """Measure one group; a library that is absent or a case that fails gives a row that says so."""
    found = {case: _Found() for case in group.cases}
    for case in group.cases:
        if case.library not in installed:
            found[case].failure = f"{case.library} is not installed"
    for _ in range(group.starts):
        left = {case: each for case, each in found.items() if not each.failure}
        with contextlib.ExitStack() as stack:
            _one_start(left, group, lambda case: stack.enter_context(contextlib.closing(make_worker(case))))
    rows: List[Row] = []
    for case, each in found.items():
        row = {"group": group.name, "kind": "measured", "starts": group.starts, **case.to_dict()}
        row.update(**_facts(case), **each.row(case))
        say(describe(row))
        rows.append(row)
    return rows


def _one_start(found: Dict[Case, _Found], group: Group, make_worker: MakeWorker) -> None:
    """Start every case's process, and let them take turns; what fails is closed, and the others go on."""
    workers: Dict[str, Worker] = {}
    by_name = {case.name: each for case, each in found.items()}
    for case, each in found.items():
        worker = make_worker(case)
        try:
            each.first_steps_s.append(worker.first_step()["first_step_s"])
            workers[case.name] = worker
        except CaseFailed as failure:
            worker.close()
            each.failure = str(failure)
    seconds, failures = _in_turns(workers, group)
    for name, failure_text in failures.items():
        by_name[name].failure = failure_text
    for name, values in seconds.items():
        by_name[name].seconds += values
        peak = _peak(workers[name])
        by_name[name].peaks_mb += [] if peak is None else [peak]


def _failed(reason: str) -> Row:
    return {"kind": "not measured", "not_measured": reason}


def _in_turns(workers: Mapping[str, Worker], group: Group) -> Any:
    """Take turns; a case that fails on the way is left out and the others start again."""
    failures: Dict[str, str] = {}
    left = dict(workers)
    while left:
        failed: Dict[str, str] = {}
        turns = {name: _turn_of(name, worker, failed) for name, worker in left.items()}
        try:
            seconds = take_turns(turns, rounds=group.rounds, warm_up=group.warm_up, budget_s=group.budget_s)
            return seconds, failures
        except CaseFailed:
            failures.update(failed)
            for name in failed:
                left[name].close()  # it may still compute, or hold memory that the others need
            left = {name: worker for name, worker in left.items() if name not in failures}
    return {}, failures


def _turn_of(name: str, worker: Worker, failed: Dict[str, str]) -> Callable[[], float]:
    def turn() -> float:
        try:
            return worker.turn()
        except CaseFailed as failure:
            failed[name] = str(failure)
            raise

    return turn


def _facts(case: Case) -> Row:
    """What a network costs on paper: parameters, and forward multiply-adds of one image."""
    from ipu_app.models.counts import count_multiply_adds, count_parameters
    from ipu_app.models.spec import make_spec

    spec = make_spec(case.model, group_size=case.group_size, norm=case.norm, expand_ratio=case.expand_ratio)
    return {
        "parameters": sum(count_parameters(spec).values()),
        "multiply_adds": sum(count_multiply_adds(spec, case.resolution).values()),
    }


def _peak(worker: Worker) -> Optional[float]:
    try:
        return worker.peak_memory_mb()
    except CaseFailed:
        return None


def describe(row: Row) -> str:
    """Return a row as one line of text."""
    if "not_measured" in row:
        return f"{row['case']}: not measured ({row['not_measured']})"
    rate = row["images_per_s"]
    return (
        f"{row['case']}: {rate['median']:.1f} images/s ({rate['low']:.1f} to {rate['high']:.1f}, "
        f"{rate['repeats']} rounds), first step {row['first_step_s']:.1f} s, peak {row['peak_memory_mb']} MB"
    )
