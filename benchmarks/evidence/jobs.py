"""Independent pieces of work, spread over processes of one thread each; how many does not change a result."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Sequence, Union

import torch

from benchmarks.evidence.power import PowerCase, measure_power
from benchmarks.evidence.progressive_run import ProgressiveCase, measure_progressive
from benchmarks.evidence.training import TrainingCase, train

Case = Union[PowerCase, TrainingCase, ProgressiveCase]
Row = Dict[str, Any]
MEASURES: Dict[type, Callable[[Any], Any]] = {
    PowerCase: measure_power,
    TrainingCase: train,
    ProgressiveCase: measure_progressive,
}


@dataclass(frozen=True)
class Job:
    """One piece of work; ``label`` says what it is in the results; ``weight`` is a guess of its duration."""

    label: Mapping[str, Any]
    case: Case
    weight: float = 1.0


def run_job(job: Job) -> Row:
    """Return the label, the result and the processor time that it took."""
    started = time.process_time()
    result = MEASURES[type(job.case)](job.case)
    return {**job.label, "result": result, "cpu_s": round(time.process_time() - started, 2)}


def run_jobs(jobs: Sequence[Job], workers: int, progress: Callable[[str], None]) -> List[Row]:
    """Return the rows in the order of the jobs; 0 workers is this process itself. Long jobs go first."""
    order = sorted(range(len(jobs)), key=lambda i: -jobs[i].weight)
    rows: Dict[int, Row] = {}
    if workers < 1:
        for done, i in enumerate(order, start=1):
            rows[i] = run_job(jobs[i])
            progress(_said(done, jobs, jobs[i]))
        return [rows[i] for i in range(len(jobs))]
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    with ProcessPoolExecutor(workers, mp_context=context, initializer=single_thread) as pool:
        for done, (i, row) in enumerate(zip(order, pool.map(run_job, [jobs[i] for i in order])), start=1):
            rows[i] = row
            progress(_said(done, jobs, jobs[i]))
    return [rows[i] for i in range(len(jobs))]


def single_thread() -> None:
    """Let torch compute in one thread, so that sums have one order and processes share the cores fairly."""
    torch.set_num_threads(1)


def _said(done: int, jobs: Sequence[Job], job: Job) -> str:
    return f"{done} of {len(jobs)}: " + ", ".join(f"{key} {value}" for key, value in job.label.items())
