"""The claims about speed, each a ratio from one interleaved run, with the command that repeats it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from benchmarks.harness import Spread, fastest_of, ratio

Row = Mapping[str, Any]
Suites = Mapping[str, Mapping[str, Any]]  # name -> {"rows": [...], "date": ...}
Measure = Callable[[Sequence[Row]], Optional[Spread]]


@dataclass(frozen=True)
class Bar:
    """One claim: ``measure`` finds its figure among a suite's rows, None where they do not hold it."""

    claim: str
    goal: float
    at_least: bool
    suite: str
    measure: Measure
    unit: str = "times"

    @property
    def command(self) -> str:
        """What to run to measure it again."""
        return f"make bench SUITE={self.suite}"

    def is_met(self, found: Spread) -> bool:
        """Whether the median reaches the goal."""
        return found.median >= self.goal if self.at_least else found.median <= self.goal


def _pick(rows: Sequence[Row], **wanted: Any) -> Dict[str, List[float]]:
    """Seconds by case of the rows with these settings."""
    return {
        row["case"]: row["seconds"]
        for row in rows
        if "seconds" in row and all(row.get(key) == value for key, value in wanted.items())
    }


def _speed_up(of: Dict[str, Any], over: Sequence[Dict[str, Any]]) -> Measure:
    """How many times the images/s of the fastest among ``over`` a case has; batches are equal."""

    def measure(rows: Sequence[Row]) -> Optional[Spread]:
        mine = list(_pick(rows, **of).values())
        theirs = {name: found for each in over for name, found in _pick(rows, **each).items()}
        return ratio(fastest_of(theirs)[1], mine[0]) if mine and theirs else None

    return measure


def _cost(of: Dict[str, Any], over: Dict[str, Any]) -> Measure:
    """How many times the step time of another case a case takes."""

    def measure(rows: Sequence[Row]) -> Optional[Spread]:
        mine, theirs = list(_pick(rows, **of).values()), list(_pick(rows, **over).values())
        return ratio(mine[0], theirs[0]) if mine and theirs else None

    return measure


def _worst_spread(key: str, case: str = "") -> Measure:
    """The spread under ``key`` of the row with this name, or the largest one of all rows."""

    def measure(rows: Sequence[Row]) -> Optional[Spread]:
        found = [Spread(**row[key]) for row in rows if row["case"] == (case or row["case"]) and key in row]
        return max(found, key=lambda spread: spread.median) if found else None

    return measure


_NET = {"resolution": 128, "mode": "train"}
_B0 = {"group_size": 1, "norm": "bn", **_NET}
_GN = {"library": "ours", "group_size": 16, "norm": "gn", **_NET}
_PN = {"library": "ours", "group_size": 16, "norm": "ln_pn", **_NET}
_RULE, _QUANTILES = {"proxy_rule": "quadrature"}, {"proxy_rule": "quantile200"}


def _others(precision: str) -> List[Dict[str, Any]]:
    return [{"library": library, "precision": precision, **_B0} for library in ("timm", "torchvision")]


def _ours(precision: str) -> Dict[str, Any]:
    return {"library": "ours", "precision": precision, **_B0}


_HALF = {"library": "ours", "group_size": 16, "resolution": 160}
BARS = (
    Bar(
        "B0 G1 BN training at 128 px, batch 16, float32: images/s over the faster of timm and torchvision",
        1.0, True, "bars", _speed_up(_ours("fp32"), _others("fp32")),
    ),
    Bar(
        "the same in bfloat16 autocast",
        1.0, True, "bars", _speed_up(_ours("bf16"), _others("bf16")),
    ),
    Bar(
        "G16 with ratio 4, GN: images/s over the faster of timm's and torchvision's G1 BN",
        1.25, True, "bars", _speed_up({**_GN, "precision": "fp32"}, _others("fp32")),
    ),
    Bar("LN+PN: step time over GN's, eager", 1.12, False, "bars", _cost({**_PN, **_RULE}, _GN)),
    Bar(
        "LN+PN: step time over GN's, compiled",
        1.06, False, "compiled", _cost({**_PN, **_RULE}, _GN),
    ),
    Bar(
        "G16 with ratio 4, GN, at half resolution (160 px): images/s over G1 BN at 224 px",
        2.0, True, "bars",
        _speed_up({**_HALF, "norm": "gn"}, [{"library": "ours", "group_size": 1, "resolution": 224}]),
    ),
    Bar(
        "simulated IPU: time of a training call over the CPU runtime's (the worse of two networks)",
        1.15, False, "simulator", _worst_spread("ratio"),
    ),
    Bar("ipu_app --help, seconds", 0.5, False, "startup", _worst_spread("spread_s", "ipu_app --help"), "s"),
    Bar(
        "image loader: images/s per core over torchvision's ImageFolder with PIL, 224 px",
        2.5, True, "loader", _worst_spread("times_torchvision", "loader"),
    ),
    Bar(
        "image loader: share of what the bare JPEG library decodes",
        0.8, True, "loader", _worst_spread("share_of_bare_decode", "loader"),
    ),
)  # fmt: skip
# shown beside them, without a goal: what the original's rule for the proxy's statistics costs
REFERENCES = (
    Bar("LN+PN by the original's 200 quantiles: step time over GN's, eager", 0.0, True, "bars",
        _cost({**_PN, **_QUANTILES}, _GN)),
    Bar("LN+PN by the original's 200 quantiles: step time over GN's, compiled", 0.0, True, "compiled",
        _cost({**_PN, **_QUANTILES}, _GN)),
)  # fmt: skip


def bar_rows(suites: Suites) -> List[Dict[str, Any]]:
    """Return a row per claim: what was found, the goal, whether it is met, and how to measure it again."""
    rows = []
    for bar in (*BARS, *REFERENCES):
        suite = suites.get(bar.suite)
        found = bar.measure(suite["rows"]) if suite else None
        goal = None if bar in REFERENCES else bar.goal
        rows.append(
            {
                "claim": bar.claim,
                "kind": "measured" if found else "not measured",
                "goal": goal,
                "at_least": bar.at_least,
                "found": found.to_dict() if found else None,
                "met": bar.is_met(found) if found and goal is not None else None,
                "unit": bar.unit,
                "date": suite["machine"]["date"] if suite and found else None,
                "command": bar.command,
            }
        )
    return rows
