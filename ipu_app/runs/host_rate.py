"""Can this host feed the IPUs: decoding measured for a moment, beside what the plan is estimated to take."""

from __future__ import annotations

from typing import Callable, List, Sized

from pipelines.words import counted

IMAGES, LONGEST_S = 64, 0.5  # enough images to tell a factor of two, and never a noticeable wait


def images_per_s_of_one_worker(dataset: Sized, clock: Callable[[], float]) -> float:
    """Return how many images a second one process reads and prepares: images spread over the data, timed."""
    count = len(dataset)
    dataset[0]  # type: ignore[index]  # opens files and loads decoders
    started, done = clock(), 0
    while done < IMAGES and (done == 0 or clock() - started < LONGEST_S):
        dataset[done * max(count // IMAGES, 1) % count]  # type: ignore[index]
        done += 1
    return done / max(clock() - started, 1e-9)


def host_lines(
    worker_images_per_s: float, *, workers: int, cores: int, demand_images_per_s: float
) -> List[str]:
    """Return the host's rate next to the demand, and a warning where the host is slower.

    ``workers`` are this instance's loader processes (0: the main process loads), of which as many work at a
    time as there are ``cores`` of its own; ``demand_images_per_s`` is its part of the plan's estimate.
    """
    at_once = min(max(workers, 1), cores)
    supply = worker_images_per_s * at_once
    who = f"{counted(workers, 'loader worker')} on {counted(cores, 'core')}"
    lines = [
        f"host: about {supply:.0f} images/s from {who} (one "
        f"measured: {worker_images_per_s:.0f}); the plan takes {demand_images_per_s:.0f} images/s (estimated)"
    ]
    if supply < demand_images_per_s:
        share = supply / demand_images_per_s
        lines.append(
            f"warning: IPUs will wait for this host, which feeds {share:.0%} of what they take; use more "
            "cores or hosts, or fewer replicas (simplejpeg and OpenCV installed help, too)"
        )
    return lines
