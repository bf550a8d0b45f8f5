"""The fastest honest setting of each case on a GPU: batch, memory layout, ``torch.compile``, CUDA graphs.

Every library gets the same search: the batch is doubled while images/s still grow; then the other memory
layout is tried at that batch (grouped and depthwise convolutions, which all these networks have, are slow in
cuDNN in some layouts); then compilation, without and with CUDA graphs (``reduce-overhead``). Training is in
bfloat16 autocast.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, Iterator, Sequence

from benchmarks.measure.cases import CONTIGUOUS, Case, Group, network_groups
from benchmarks.measure.harness import Spread
from benchmarks.measure.workers import CaseFailed, Worker

MODELS = ("b0", "b1", "b2", "b3", "b4", "b5", "v2-b0", "v2-s")
BATCHES = (32, 64, 128, 256, 512, 1024)
WORTH = 1.03  # a doubled batch has to give this much more
COMPILE_MODES = ("default", "reduce-overhead")

MakeWorker = Callable[[Case], Worker]
Say = Callable[[str], None]


def images_per_s(case: Case, make_worker: MakeWorker, say: Say, *, steps: int = 8) -> float:
    """Measure one case alone: images/s (median of steps); 0, and said why, where it fails."""
    worker = make_worker(case)
    try:
        worker.first_step()
        seconds = [worker.turn() for _ in range(steps + 2)][2:]
        rate = case.batch / Spread.of(seconds).median
        say(f"  tried {case.name}: {rate:.0f} images/s")
        return rate
    except CaseFailed as failure:
        say(f"  tried {case.name}: {failure}")
        return 0.0
    finally:
        worker.close()


def best_setting(case: Case, make_worker: MakeWorker, say: Say) -> Case:
    """Return the case at the batch, layout and way of compiling that gave the most images/s."""
    best, rate = case, 0.0
    for batch in BATCHES:
        tried = replace(case, batch=batch)
        found = images_per_s(tried, make_worker, say)
        if found <= rate * WORTH:
            break
        best, rate = tried, found
    while not rate and best.batch > 1:  # not even the first batch fitted
        best = replace(best, batch=best.batch // 2)
        rate = images_per_s(best, make_worker, say)
    for change in ({"layout": CONTIGUOUS}, *({"compile": mode} for mode in COMPILE_MODES)):
        tried = replace(best, **change)
        found = images_per_s(tried, make_worker, say)
        if found > rate:
            best, rate = tried, found
    return best


def swept_groups(
    make_worker: MakeWorker,
    say: Say,
    *,
    installed: Sequence[str],
    skip: Callable[[str, Case], bool],
    models: Sequence[str] = MODELS,
) -> Iterator[Group]:
    """Yield the cases of the network groups, each alone (together they would not fit) at its best setting.

    ``skip(group, case)``: not to be swept, as it has been measured before.
    """
    for group in network_groups(batches=dict.fromkeys(models, BATCHES[0]), precision="bf16"):
        for case in group.cases:
            if skip(group.name, case):
                continue
            best = best_setting(case, make_worker, say) if case.library in installed else case
            yield Group(group.name, (best,), rounds=20)
