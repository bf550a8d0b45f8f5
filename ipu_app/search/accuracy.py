"""A: what a candidate's accuracy is taken to be. Only that of finished runs is one; the others are proxies.

Each source names itself in ``label``; what it returns is in per cent, so that rewards of one search compare.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Callable, Dict, List, Protocol, Sequence

from ipu_app.models.spec import EfficientNetSpec
from ipu_app.search.fitted import fit_accuracy, recipe_for
from ipu_app.search.space import network_key

Report = Callable[[float, int], bool]  # value so far and rung -> whether to stop this candidate


class Unknown(ValueError):
    """A candidate of which this source knows nothing."""


class Pruned(Exception):
    """A candidate that was stopped early; ``value`` is the last one seen, in per cent."""

    def __init__(self, value: float) -> None:
        super().__init__(f"stopped at {value:.2f} %")
        self.value = value


class Accuracy(Protocol):
    """A source of A; ``label`` says what it is, ``column`` heads its column."""

    label: str
    column: str

    def of(self, spec: EfficientNetSpec, report: Report) -> float:
        """Return A in per cent; raises Unknown or Pruned."""

    def repeat(self, spec: EfficientNetSpec, seeds: Sequence[int]) -> List[float]:
        """Return A again for each seed; nothing where a repetition would tell nothing."""


class FittedAccuracy:
    """A regression on published accuracies; see ``fitted``."""

    column = "fitted top-1 % (proxy)"

    def __init__(self) -> None:
        self._fit = fit_accuracy()
        self.label = (
            f"proxy: fitted on 38 published accuracies, left-out error {self._fit.left_out_points:.2f} "
            f"points (worst {self._fit.worst_left_out_points:.2f}); blind to block kinds, groups and norms"
        )

    def of(self, spec: EfficientNetSpec, report: Report) -> float:
        """Return the fitted top-1 at the spec's native resolution, by its family's recipe."""
        return self._fit.top1_pct(spec, spec.native_resolution, recipe_for(spec))

    def repeat(self, spec: EfficientNetSpec, seeds: Sequence[int]) -> List[float]:
        """Nothing: a formula has no noise."""
        return []


class AccuracyOfRuns:
    """Validation top-1 of finished runs, found by what their networks compute."""

    column = "top-1 %"

    def __init__(self, folder: Path) -> None:
        self._found = _finished_runs(folder)
        if not self._found:
            raise ValueError(f"accuracy-from={folder}: no finished run there (model.json and summary.json)")
        self.label = f"measured: validation top-1 of {len(self._found)} finished runs in {folder}"

    def of(self, spec: EfficientNetSpec, report: Report) -> float:
        """Return what a run of this network and resolution reached; raises Unknown where there is none."""
        key = network_key(spec)
        if key not in self._found:
            raise Unknown("no finished run of this network at this resolution")
        return self._found[key]

    def repeat(self, spec: EfficientNetSpec, seeds: Sequence[int]) -> List[float]:
        """Nothing: runs are what they are."""
        return []


def _finished_runs(folder: Path) -> Dict[str, float]:
    found: Dict[str, float] = {}
    for file in sorted(folder.glob("*/summary.json")) + sorted(folder.glob("summary.json")):
        model = file.with_name("model.json")
        if not model.is_file():
            continue
        try:
            described, summary = (json.loads(path.read_text(encoding="utf-8")) for path in (model, file))
            spec = EfficientNetSpec.from_dict(described["spec"])
            top1 = 100 * float(summary["val_top1"])
        except (OSError, ValueError, KeyError, TypeError):
            continue  # a run that is not finished, or none of ours
        spec = replace(spec, native_resolution=described["resolution"])
        found[network_key(spec)] = max(top1, found.get(network_key(spec), 0.0))
    return found
