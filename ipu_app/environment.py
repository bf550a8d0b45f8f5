"""The one place that reads what surrounds the process; of its environment everyone else gets the mapping."""

from __future__ import annotations

import os
from typing import Mapping


def read_environ() -> Mapping[str, str]:
    """Return a snapshot of the environment variables of this process."""
    return dict(os.environ)


def usable_cores() -> int:
    """Return on how many cores this process may run, which taskset or a job's scheduler can make fewer."""
    if hasattr(os, "sched_getaffinity"):  # on Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def share_of_cores(instances: int) -> int:
    """Return how many cores are for this process alone, of ``instances`` of one job on this host.

    Where the launcher gave each instance cores of its own, these are all its; they are shared where there are
    too few for every instance to have as many as this one may run on.
    """
    cores = usable_cores()
    if cores * instances > (os.cpu_count() or 1):
        cores = max(cores // instances, 1)
    return cores
