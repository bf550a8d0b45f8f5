"""The claims about speed, each a ratio from one interleaved run, with the command that repeats it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from benchmarks.measure.harness import Spread, fastest_of, ratio

Row = Mapping[str, Any]
Suites = Mapping[str, Mapping[str, Any]]  # name -> {"rows": [...], "date": ...}
Measure = Callable[[Sequence[Row]], Optional[Spread]]


@dataclass(frozen=True)
class Bar:
    """One claim: ``measure`` finds its figure among a suite's rows, None where they do not hold it."""

    claim: str
    suite: str
    measure: Measure
    goal: Optional[float] = None  # None: shown for comparison
    at_least: bool = True
    unit: str = "times"

    @property
    def command(self) -> str:
        """What to run to measure it again."""
        return f"make bench SUITE={self.suite}"

    def is_met(self, found: Optional[Spread]) -> Optional[bool]:
        """Whether the median reaches the goal; None without a figure or a goal."""
        if found is None or self.goal is None:
            return None
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
        found = [Spread(**row[key]) for row in rows if row["case"] == (case or row["case"]) and row.get(key)]
        return max(found, key=lambda spread: spread.median) if found else None

    return measure


_NET = {"model": "b0", "resolution": 128, "mode": "train"}
_B0 = {"group_size": 1, "norm": "bn", **_NET}
_GN = {"library": "ours", "group_size": 16, "norm": "gn", **_NET}
_PN = {"library": "ours", "group_size": 16, "norm": "ln_pn", **_NET}
_RULE, _QUANTILES = {"proxy_rule": "quadrature"}, {"proxy_rule": "quantile200"}


def _others(precision: str) -> List[Dict[str, Any]]:
    return [{"library": library, "precision": precision, **_B0} for library in ("timm", "torchvision")]


def _ours(precision: str) -> Dict[str, Any]:
    return {"library": "ours", "precision": precision, **_B0}


_HALF = {"library": "ours", "model": "b0", "group_size": 16, "resolution": 160}
_NATIVE = {"library": "ours", "model": "b0", "group_size": 1, "resolution": 224}
_V2 = {"model": "v2-s", "resolution": 128, "precision": "fp32"}


def _v2_plain(mode: str, *libraries: str) -> List[Dict[str, Any]]:
    plain = {**_V2, "group_size": 1, "norm": "bn", "mode": mode}
    return [{"library": library, **plain} for library in libraries]


def _v2_grouped(norm: str) -> Dict[str, Any]:
    return {"library": "ours", **_V2, "group_size": 16, "norm": norm, "mode": "train"}


_at_least = partial(Bar, at_least=True)
_at_most = partial(Bar, at_least=False)
BARS = (
    _at_least(
        goal=1.0,
        suite="bars",
        claim="B0 G1 BN training, 128 px, batch 16, float32: images/s over the faster of timm, torchvision",
        measure=_speed_up(_ours("fp32"), _others("fp32")),
    ),
    _at_least(
        goal=1.0,
        suite="bars",
        claim="B0 G1 BN training, 128 px, batch 16, bfloat16: images/s over the faster of timm, torchvision",
        measure=_speed_up(_ours("bf16"), _others("bf16")),
    ),
    _at_least(
        goal=1.25,
        suite="bars",
        claim="G16 with ratio 4, GN: images/s over the faster of timm's and torchvision's G1 BN",
        measure=_speed_up({**_GN, "precision": "fp32"}, _others("fp32")),
    ),
    _at_most(
        goal=1.12,
        suite="bars",
        claim="LN+PN: step time over GN's, eager",
        measure=_cost({**_PN, **_RULE}, _GN),
    ),
    _at_most(
        goal=1.06,
        suite="compiled",
        claim="LN+PN: step time over GN's, compiled",
        measure=_cost({**_PN, **_RULE}, _GN),
    ),
    _at_least(
        goal=2.0,
        suite="bars",
        claim="G16 with ratio 4, GN, at half resolution (160 px): images/s over G1 BN at 224 px",
        measure=_speed_up({**_HALF, "norm": "gn"}, [_NATIVE]),
    ),
    *(
        Bar(
            goal=1.0,
            suite="bars",
            claim=f"V2-S G1 BN {word}, 128 px, batch 8: images/s over the faster of timm, torchvision",
            measure=_speed_up(_v2_plain(mode, "ours")[0], _v2_plain(mode, "timm", "torchvision")),
        )
        for mode, word in (("train", "training"), ("infer", "inference"))
    ),
    _at_most(
        goal=1.15,
        suite="simulator",
        claim="simulated IPU: time of a training call over the CPU runtime's (the worse of two networks)",
        measure=_worst_spread("ratio"),
    ),
    _at_most(
        goal=0.5,
        suite="startup",
        claim="ipu_app --help, seconds",
        measure=_worst_spread("spread_s", "ipu_app --help"),
        unit="s",
    ),
    _at_least(
        goal=2.5,
        suite="loader",
        claim="image loader: images/s per core over torchvision's ImageFolder with PIL, 224 px",
        measure=_worst_spread("times_torchvision", "loader"),
    ),
    _at_least(
        goal=0.8,
        suite="loader",
        claim="image loader: share of what the bare JPEG library decodes",
        measure=_worst_spread("share_of_bare_decode", "loader"),
    ),
    _at_most(
        goal=0.5,
        suite="policies",
        claim="RandAugment, 2 operations, 224 px: time over that of decoding and cropping the JPEG",
        measure=_worst_spread("share_of_crop", "RandAugment"),
    ),
)
_QUANTILE_RULE = tuple(
    Bar(
        claim=f"LN+PN by the original's 200 quantiles: step time over GN's, {how}",
        suite=suite,
        measure=_cost({**_PN, **_QUANTILES}, _GN),
    )
    for suite, how in (("bars", "eager"), ("compiled", "compiled"))
)
# shown beside them, without a goal: what the original's rule for the proxy's statistics costs, and compilers
REFERENCES = (
    *_QUANTILE_RULE,
    Bar(
        claim="V2-S G16 with ratio 4.5, GN: images/s over the faster of timm's and torchvision's G1 BN",
        suite="bars",
        measure=_speed_up(_v2_grouped("gn"), _v2_plain("train", "timm", "torchvision")),
    ),
    Bar(
        claim="V2-S LN+PN: step time over GN's",
        suite="bars",
        measure=_cost(_v2_grouped("ln_pn"), _v2_grouped("gn")),
    ),
    Bar(
        claim="B0 G1 BN training as in the first row, all compiled: images/s over the faster library",
        suite="compiled",
        measure=_speed_up(_ours("fp32"), _others("fp32")),
    ),
)


def bar_rows(suites: Suites) -> List[Dict[str, Any]]:
    """Return a row per claim: what was found, the goal, whether it is met, and how to measure it again."""
    rows = []
    for bar in (*BARS, *REFERENCES):
        suite = suites.get(bar.suite)
        found = bar.measure(suite["rows"]) if suite else None
        rows.append(
            {
                "claim": bar.claim,
                "kind": "measured" if found else "not measured",
                "goal": bar.goal,
                "at_least": bar.at_least,
                "found": found.to_dict() if found else None,
                "met": bar.is_met(found),
                "unit": bar.unit,
                "date": suite["machine"]["date"] if suite and found else None,
                "command": bar.command,
            }
        )
    return rows
