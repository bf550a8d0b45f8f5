"""A pipeline plan: which sub-blocks of a model run on which IPU, and in what order over time.

A plan is plain frozen data that checks itself; it goes to JSON and back without loss. It knows nothing of
torch or PopTorch: ``ipu_app.runtime`` turns it into blocks and options, ``pipelines.schedule`` into a time.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict, Mapping, Sequence, Tuple

SCHEDULES = ("grouped", "interleaved", "sequential")


@dataclass(frozen=True)
class Stage:
    """One pipeline stage: it starts at the sub-block ``first`` and runs on ``ipu`` (counted within a
    replica).

    ``first`` is a dotted name below ``model.blocks``: ``block0``, ``block3b`` or ``block3b.project``.
    """

    first: str
    ipu: int

    def __post_init__(self) -> None:
        if not self.first:
            raise ValueError("stage.first='': must name the sub-block that the stage starts with")
        if self.ipu < 0:
            raise ValueError(f"stage.ipu={self.ipu}: must be 0 or more")


@dataclass(frozen=True)
class PipelinePlan:
    """Stages in order (stage ``i`` on IPU ``i``), the schedule and whether activations are recomputed."""

    stages: Tuple[Stage, ...]
    schedule: str = "grouped"
    recompute: bool = True

    def __post_init__(self) -> None:
        if not self.stages:
            raise ValueError("plan.stages=(): a plan has at least one stage")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"plan.schedule={self.schedule!r}: choose one of {list(SCHEDULES)}")
        ipus = [stage.ipu for stage in self.stages]
        if ipus != list(range(len(ipus))):
            raise ValueError(
                f"plan.stages on IPUs {ipus}: stage i runs on IPU i, so they must be 0, 1, 2, ..."
            )
        names = [stage.first for stage in self.stages]
        if len(set(names)) != len(names):
            raise ValueError(f"plan.stages start at {names}: two stages start at the same sub-block")

    @property
    def num_stages(self) -> int:
        """Number of pipeline stages, which is also the number of IPUs of one replica."""
        return len(self.stages)

    @property
    def splits(self) -> Tuple[str, ...]:
        """Names of the sub-blocks that start the second and later stages."""
        return tuple(stage.first for stage in self.stages[1:])

    @property
    def min_accumulation(self) -> int:
        """PopTorch's least gradient accumulation for training: 2S - 1, or 1 for a single or a sharded
        replica.
        """
        return 1 if self.schedule == "sequential" else 2 * self.num_stages - 1

    def to_dict(self) -> Dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> PipelinePlan:
        """Build a plan from what ``to_dict`` returned; refuse unknown keys by name."""
        unknown = set(data) - {"stages", "schedule", "recompute"}
        if unknown:
            raise ValueError(
                f"plan: unknown key {sorted(unknown)[0]!r}; allowed are stages, schedule, recompute"
            )
        stages = tuple(Stage(first=str(s["first"]), ipu=int(s["ipu"])) for s in data["stages"])
        return cls(stages, data.get("schedule", "grouped"), bool(data.get("recompute", True)))

    @classmethod
    def from_splits(
        cls,
        splits: Sequence[str],
        *,
        first: str = "block0",
        schedule: str = "grouped",
        recompute: bool = True,
    ) -> PipelinePlan:
        """Build a plan from the names at which the second and later stages start."""
        names = (first, *splits)
        return cls(tuple(Stage(name, ipu) for ipu, name in enumerate(names)), schedule, recompute)
