"""The fastest honest setting of each case on a GPU: batch size, ``torch.compile``, CUDA graphs.

Every library gets the same search: the batch is doubled while images/s still grow, then compilation is tried
at that batch, without and with CUDA graphs (``reduce-overhead``). Training is in bfloat16 autocast.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, List, Tuple

from benchmarks.cases import Case, Group, network_groups
from benchmarks.harness import Spread
from benchmarks.workers import CaseFailed, Worker

MODELS = ("b0", "b1", "b2", "b3", "b4", "b5")
FIRST_BATCH, LAST_BATCH = 32, 1024
WORTH = 1.03  # a doubled batch has to give this much more
COMPILE_MODES = ("default", "reduce-overhead")
MEMORY_SHARE_MB = 12_000  # the cases of a group hold their memory at the same time while they take turns

MakeWorker = Callable[[Case], Worker]
Say = Callable[[str], None]


def images_per_s(case: Case, make_worker: MakeWorker, *, steps: int = 8) -> Tuple[float, float]:
    """Measure one case alone: images/s (median of steps), and peak memory in MB; 0 where it fails."""
    worker = make_worker(case)
    try:
        worker.first_step()
        seconds = [worker.turn() for _ in range(steps + 2)][2:]
        return case.batch / Spread.of(seconds).median, worker.peak_memory_mb() or 0.0
    except CaseFailed:
        return 0.0, 0.0
    finally:
        worker.close()


def best_setting(case: Case, make_worker: MakeWorker, say: Say) -> Case:
    """Return the case at the batch and the way of compiling that gave the most images/s."""
    best, rate, memory_mb = replace(case, batch=FIRST_BATCH), 0.0, 0.0
    for batch in _doubling():
        if memory_mb * 2 > MEMORY_SHARE_MB:
            break
        tried = replace(case, batch=batch)
        found, memory_mb = images_per_s(tried, make_worker)
        say(f"  tried {tried.name}: {found:.0f} images/s")
        if found <= rate * WORTH:
            break
        best, rate = tried, found
    for mode in COMPILE_MODES:
        tried = replace(best, compile=mode)
        found, _ = images_per_s(tried, make_worker)
        say(f"  tried {tried.name}: {found:.0f} images/s")
        if found > rate:
            best, rate = tried, found
    return best


def _doubling() -> List[int]:
    batches = [FIRST_BATCH]
    while batches[-1] < LAST_BATCH:
        batches.append(2 * batches[-1])
    return batches


def swept_groups(make_worker: MakeWorker, say: Say) -> Tuple[Group, ...]:
    """Return the network groups with every case at its best setting."""
    groups = network_groups(batches=dict.fromkeys(MODELS, FIRST_BATCH), precision="bf16")
    return tuple(
        replace(group, rounds=20, cases=tuple(best_setting(case, make_worker, say) for case in group.cases))
        for group in groups
    )
