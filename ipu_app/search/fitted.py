"""Accuracy by regression on published accuracies: good between sizes, blind to what blocks are made of.

ln(error) is a polynomial of ln(multiply-adds) and ln(parameters) with an offset for each training recipe,
by least squares on 38 evaluations of published weights. Each model left out in turn gives its error. It knows
nothing of block kinds, group sizes or norms: those change it only through multiply-adds and parameters.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

import numpy as np

from ipu_app.models.counts import count_multiply_adds, count_parameters
from ipu_app.models.spec import EfficientNetSpec, make_spec

SOURCE = Path(__file__).resolve().parent / "published_accuracy.csv"
RECIPES = ("advprop", "autoaugment", "inception", "randaugment", "v2")


@dataclass(frozen=True)
class Evaluation:
    """One published evaluation: ImageNet top-1 in per cent at ``resolution`` pixels."""

    model: str
    resolution: int
    recipe: str
    top1_pct: float


def published_evaluations(file: Path = SOURCE) -> List[Evaluation]:
    """Return the published evaluations."""
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return [
        Evaluation(row["model"], int(row["resolution"]), row["recipe"], float(row["top1_pct"]))
        for row in csv.DictReader(lines)
    ]


@dataclass(frozen=True)
class FittedAccuracy:
    """The regression; ``left_out_points``: mean error in points of top-1, each model left out in turn."""

    weights: Tuple[float, ...]
    left_out_points: float
    worst_left_out_points: float

    def top1_pct(self, spec: EfficientNetSpec, resolution: int, recipe: str) -> float:
        """Return the top-1 in per cent that a published training of such a size would be near."""
        features = _features(spec, resolution, recipe)
        return 100 - float(np.exp(np.dot(features, self.weights)))


def fit_accuracy() -> FittedAccuracy:
    """Fit on all published evaluations, and leave out each model once for the error."""
    rows = published_evaluations()
    features = np.array([_features(make_spec(row.model), row.resolution, row.recipe) for row in rows])
    targets = np.log([100 - row.top1_pct for row in rows])
    misses: List[float] = []
    for model in dict.fromkeys(row.model for row in rows):
        out = np.array([row.model == model for row in rows])
        weights = _solve(features[~out], targets[~out])
        guess = 100 - np.exp(features[out] @ weights)
        misses += [abs(g - row.top1_pct) for g, row in zip(guess, (r for r in rows if r.model == model))]
    return FittedAccuracy(tuple(_solve(features, targets)), float(np.mean(misses)), float(max(misses)))


def recipe_for(spec: EfficientNetSpec) -> str:
    """Return the recipe that a base's family was published with: V2's own, for V1 AutoAugment."""
    return "v2" if spec.name.startswith("v2-") else "autoaugment"


def _features(spec: EfficientNetSpec, resolution: int, recipe: str) -> Sequence[float]:
    work = np.log(sum(count_multiply_adds(spec, resolution).values()) / 1e9)
    size = np.log(sum(count_parameters(spec).values()) / 1e7)
    offsets: Dict[str, float] = dict.fromkeys(RECIPES, 0.0)
    offsets[recipe] = 1.0
    return [work, size, work * work, *offsets.values()]


def _solve(features: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Least squares; the smallest weights where a recipe is left out altogether."""
    return np.linalg.lstsq(features, targets, rcond=None)[0]
