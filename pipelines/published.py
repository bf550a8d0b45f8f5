"""The published runs and throughputs of ``pipelines/rows``, as frozen rows. Standard library only."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from pipelines.geometry import BatchGeometry
from pipelines.plan import PipelinePlan

DATA_FOLDER = Path(__file__).resolve().parent / "rows"


@dataclass(frozen=True)
class PublishedRun:
    """One of the 30 runs of arXiv 2106.03640 on 16 Mk2 IPUs: what was trained, and how it was spread."""

    name: str
    model: str
    group_size: int
    norm: str
    resolution: int
    micro_batch: int
    accumulation: int
    replicas: int
    splits: Tuple[str, ...]
    precision: str
    offload_optimizer: bool
    available_memory_proportion: Tuple[float, ...] = ()

    @property
    def plan(self) -> PipelinePlan:
        """Its pipeline: grouped, recomputed."""
        return PipelinePlan.from_splits(self.splits)

    @property
    def geometry(self) -> BatchGeometry:
        """Its batch factors, as one instance."""
        return BatchGeometry(self.micro_batch, self.accumulation, self.replicas)


@dataclass(frozen=True)
class PublishedThroughput:
    """One figure that somebody published: images/s over ``devices`` devices of ``platform``."""

    case: str
    platform: str
    devices: int
    images_per_s: float
    accuracy_pct: float
    source: str


def published_runs(folder: Path = DATA_FOLDER) -> Dict[str, PublishedRun]:
    """Return the published runs by name (``b0-g1-gn-native`` ... ``b5-g16-ln_pn-half``)."""
    return {row["run"]: _run(row) for row in _read(folder / "published_runs.csv")}


def published_run(name: str, folder: Path = DATA_FOLDER) -> PublishedRun:
    """Return one published run; refuses an unknown name with its nearest ones."""
    import difflib

    runs = published_runs(folder)
    if name.lower() not in runs:
        nearest = ", ".join(difflib.get_close_matches(name.lower(), runs, n=3, cutoff=0.0))
        raise ValueError(f"run={name!r}: no such published run; nearest: {nearest}")
    return runs[name.lower()]


def published_throughputs(folder: Path = DATA_FOLDER) -> Tuple[PublishedThroughput, ...]:
    """Return every published throughput, IPUs and GPUs alike."""
    return tuple(
        PublishedThroughput(
            case=row["case"],
            platform=row["platform"],
            devices=int(row["devices"]),
            images_per_s=float(row["images_per_s"]),
            accuracy_pct=float(row["accuracy_pct"]),
            source=row["source"],
        )
        for row in _read(folder / "published.csv")
    )


def published_accuracy(
    model: str, group_size: int, norm: str, resolution: int, folder: Path = DATA_FOLDER
) -> Optional[float]:
    """Return the published validation top-1 in per cent of a network trained at a resolution, or None."""
    for run in published_runs(folder).values():
        if (run.model, run.group_size, run.norm, run.resolution) == (model, group_size, norm, resolution):
            series = run.name.split("-", 1)[1]
            rows = {row["series"]: row for row in _read(folder / "published_accuracy.csv")}
            return float(rows[series][model]) if series in rows else None
    return None


def _run(row: Dict[str, str]) -> PublishedRun:
    return PublishedRun(
        name=row["run"],
        model=row["model"],
        group_size=int(row["group_size"]),
        norm=row["norm"],
        resolution=int(row["resolution"]),
        micro_batch=int(row["micro_batch"]),
        accumulation=int(row["accumulation"]),
        replicas=int(row["replicas"]),
        splits=tuple(row["splits"].split()),
        precision=row["precision"],
        offload_optimizer=row["offload_optimizer"] == "1",
        available_memory_proportion=tuple(float(part) for part in row["amp"].split()),
    )


def _read(path: Path) -> List[Dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(line for line in lines if not line.startswith("#")))
