"""A pipeline plan: which sub-blocks of a model run on which IPU, and in what order over time.

A plan is plain frozen data that checks itself; it goes to JSON and back without loss. It knows nothing of
torch or PopTorch: ``ipu_app.runtime`` turns it into blocks and options, ``pipelines.schedule`` into a time.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Dict, Mapping, Sequence, Tuple

from pipelines.door import BadFile, flag, list_of, read_json, record, text, to_json, whole
from pipelines.geometry import BatchGeometry

SCHEDULES = ("grouped", "interleaved", "sequential")
SAVED_VERSION = 1


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
        if "stages" not in data:
            raise ValueError("plan: missing key 'stages'")
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


@dataclass(frozen=True)
class PlannedModel:
    """What a plan was made for; a plan is refused for anything else."""

    name: str
    group_size: int
    norm: str
    resolution: int
    precision: str
    offload_optimizer: bool = False


@dataclass(frozen=True)
class SavedPlan:
    """A plan, its batch factors, the model it was made for and the figures that were estimated for it."""

    plan: PipelinePlan
    geometry: BatchGeometry
    model: PlannedModel
    estimate: Dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> Dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "version": SAVED_VERSION,
            "plan": self.plan.to_dict(),
            "geometry": asdict(self.geometry),
            "model": asdict(self.model),
            "estimate": self.estimate,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SavedPlan:
        """Build a saved plan from what ``to_dict`` returned; refuses other versions and unknown or missing
        keys.
        """
        if data.get("version") != SAVED_VERSION:
            raise ValueError(
                f"plan.version={data.get('version')!r}: this program reads version {SAVED_VERSION}"
            )
        _check_keys(
            "plan file", data, ("version", "plan", "geometry", "model", "estimate"), optional=("estimate",)
        )
        geometry, model = data["geometry"], data["model"]
        _check_keys("plan.geometry", geometry, [item.name for item in fields(BatchGeometry)])
        names = [item.name for item in fields(PlannedModel)]
        _check_keys("plan.model", model, names, optional=("offload_optimizer",))
        plan = PipelinePlan.from_dict(_mapping("plan.plan", data["plan"]))
        return cls(plan, BatchGeometry(**geometry), PlannedModel(**model), dict(data.get("estimate", {})))

    def check_model(self, **facts: Any) -> None:
        """Refuse, by name, a model other than the one that the plan was made for (None is not compared)."""
        for name, value in facts.items():
            planned = getattr(self.model, name)
            if value is not None and value != planned:
                raise ValueError(f"plan.model.{name}={planned!r}: the plan is not for {name}={value!r}")


_NAME = text(200)
_FACTORS = {item.name: whole(1, 10**6) for item in fields(BatchGeometry)}
_MODEL = {
    "name": _NAME,
    "group_size": whole(1, 10**5),
    "norm": _NAME,
    "resolution": whole(8, 10**4),
    "precision": _NAME,
}
_PLAN = record(
    {"stages": list_of(record({"first": _NAME, "ipu": whole(0, 10**4)}), 10**4)},
    {"schedule": _NAME, "recompute": flag()},
)
PLAN_FILE = record({}, {"plan": _PLAN, "geometry": record({}, _FACTORS), "model": record({}, _MODEL)})


def save_plan(path: Path, saved: SavedPlan) -> None:
    """Write a plan as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(to_json(saved.to_dict(), indent=2) + "\n", encoding="utf-8")


def load_saved_plan(path: Path) -> SavedPlan:
    """Read a plan; FileNotFoundError if there is none, ValueError naming what is wrong with it."""
    try:
        return SavedPlan.from_dict(read_json(path, PLAN_FILE))
    except BadFile as error:
        raise BadFile(f"plan={error}; not a plan that `plan --save` wrote") from None
    except (KeyError, TypeError) as error:
        raise ValueError(f"plan={str(path)!r}: not a plan that `plan --save` wrote: {error!r}") from error


def _mapping(what: str, data: Any) -> Mapping[str, Any]:
    if not isinstance(data, dict):
        raise ValueError(f"{what}: must be an object with names, not {type(data).__name__}")
    return data


def _check_keys(what: str, data: Any, known: Any, optional: Any = ()) -> None:
    keys = set(_mapping(what, data))
    for key in sorted(keys - set(known)):
        raise ValueError(f"{what}: unknown key {key!r}; allowed are {', '.join(known)}")
    for key in sorted(set(known) - keys - set(optional)):
        raise ValueError(f"{what}: missing key {key!r}")
