"""Configurations that are known to run on IPUs: how full the fullest stage of each is, by our count.

What ran is a lower bound of what fits: programs and buffers, which ``pipelines.cost.memory`` does not count,
had room beside it. So each generation's default limit lies just above its fullest known configuration, and
a plan is shown with its distance to that one. Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

from pipelines.geometry import BatchGeometry
from pipelines.plan import PipelinePlan

_EXAMPLES = "github.com/graphcore/examples, vision/cnns"


@dataclass(frozen=True)
class KnownRun:
    """One configuration that its source says was run: what was trained, how it was spread, and our count.

    ``counted_mb`` are the counted megabytes of the fullest IPU, as a whole number.
    """

    name: str
    sdk: str
    model: str
    group_size: int
    splits: Tuple[str, ...]
    factors: Tuple[int, int, int]
    precision: str
    counted_mb: int
    source: str
    norm: str = "gn"
    offload_optimizer: bool = False

    @property
    def plan(self) -> PipelinePlan:
        """Its pipeline: grouped, recomputed."""
        return PipelinePlan.from_splits(self.splits)

    @property
    def geometry(self) -> BatchGeometry:
        """Its micro-batch, accumulation and replicas."""
        return BatchGeometry(*self.factors)


_FOUR = ("block2b", "block4a", "block5f")

KNOWN_RUNS: Tuple[KnownRun, ...] = (
    KnownRun(
        "b5-g1-gn-native",
        "2.0",
        "b5",
        1,
        ("block2c", "block4a", "block5g"),
        (2, 96, 4),
        "16.16",
        545,
        "arXiv 2106.03640, 16 Mk2 IPUs: the fullest of its 30 runs (pipelines/rows)",
        offload_optimizer=True,
    ),
    KnownRun(
        "B4 G16 TensorFlow 1, Bow Pod16",
        "3",
        "b4",
        16,
        ("block4a",),
        (3, 256, 8),
        "16.16",
        568,
        f"Graphcore's results page; {_EXAMPLES}/tensorflow1/training/configs.yml, SDK 2.4 and 2.5",
    ),
    KnownRun(
        "B0 G16 PopTorch",
        "3",
        "b0",
        16,
        ("block4a",),
        (20, 5, 8),
        "16.32",
        598,
        f"{_EXAMPLES}/pytorch/train/configs.yml, SDK 2.4 to 3.0",
    ),
    KnownRun(
        "B4 G1 PopTorch",
        "3",
        "b4",
        1,
        _FOUR,
        (4, 48, 4),
        "16.16",
        579,
        f"{_EXAMPLES}/pytorch/train/configs.yml, SDK 3.x",
    ),
    KnownRun(
        "B4 G16 PopTorch, four stages",
        "3",
        "b4",
        16,
        _FOUR,
        (6, 32, 4),
        "16.32",
        611,
        f"{_EXAMPLES}/pytorch/train/configs.yml, SDK 2.4 to 2.6",
    ),
    KnownRun(
        "B4 G16 PopTorch, two stages",
        "3",
        "b4",
        16,
        ("block4a.project",),
        (4, 64, 8),
        "16.16",
        773,
        f"{_EXAMPLES}/pytorch/train/configs.yml, SDK 3.x; it had recomputation checkpoints and sharded "
        "optimiser state, which this count leaves out",
    ),
)


def known_runs(sdk: str) -> Tuple[KnownRun, ...]:
    """Return the configurations that are known to run on a software generation."""
    return tuple(run for run in KNOWN_RUNS if run.sdk == sdk)


def fullest_known(sdk: str) -> KnownRun:
    """Return the fullest configuration that is known to run on a software generation."""
    return max(known_runs(sdk), key=lambda run: run.counted_mb)
