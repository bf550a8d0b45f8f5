"""Runs groups of cases: every case a process, all cases of a group in turns; a row per case."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Dict, List, Mapping, Sequence

from benchmarks.cases import Case, Group
from benchmarks.harness import Spread, significant, take_turns
from benchmarks.workers import CaseFailed, Worker

Row = Dict[str, Any]
Say = Callable[[str], None]
MakeWorker = Callable[[Case], Worker]


def measure_group(group: Group, make_worker: MakeWorker, *, installed: Sequence[str], say: Say) -> List[Row]:
    """Measure one group; a library that is absent or a case that fails gives a row that says so."""
    rows: List[Row] = []
    with contextlib.ExitStack() as stack:
        workers: Dict[str, Worker] = {}
        for case in group.cases:
            row: Row = {"group": group.name, "kind": "measured", **case.to_dict(), **_facts(case)}
            rows.append(row)
            if case.library not in installed:
                row.update(_failed(f"{case.library} is not installed"))
                continue
            worker = stack.enter_context(contextlib.closing(make_worker(case)))
            try:
                row.update(worker.first_step())
                workers[case.name] = worker
            except CaseFailed as failure:
                worker.close()
                row.update(_failed(str(failure)))
        seconds, failures = _in_turns(workers, group)
        for row in rows:
            name = row["case"]
            if name in failures:
                row.update(_failed(failures[name]))
            elif name in seconds:
                row.update(_result(row["batch"], seconds[name]), peak_memory_mb=_peak(workers[name]))
            say(describe(row))
    return rows


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
            return take_turns(turns, rounds=group.rounds, budget_s=group.budget_s), failures
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


def _result(batch: int, seconds: Sequence[float]) -> Row:
    rates = Spread.of([batch / value for value in seconds])
    return {"images_per_s": rates.to_dict(), "seconds": [significant(value) for value in seconds]}


def _peak(worker: Worker) -> Any:
    try:
        peak = worker.peak_memory_mb()
    except CaseFailed:
        return None
    return None if peak is None else round(peak)


def describe(row: Row) -> str:
    """Return a row as one line of text."""
    if "not_measured" in row:
        return f"{row['case']}: not measured ({row['not_measured']})"
    rate = row["images_per_s"]
    return (
        f"{row['case']}: {rate['median']:.1f} images/s ({rate['low']:.1f} to {rate['high']:.1f}, "
        f"{rate['repeats']} rounds), first step {row['first_step_s']:.1f} s, peak {row['peak_memory_mb']} MB"
    )
