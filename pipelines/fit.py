"""Refit the two fitted constants on published throughputs, and say how well the model then predicts.

Errors are relative errors of images/s. In-sample: all rows fitted at once. Leave-one-model-out: the rows of
each model size are predicted with constants fitted on the other sizes. Beside them two baselines with one
fitted constant each: a roofline of forward multiply-adds, and the activation elements of the widest stage.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable, Dict, List, Sequence, Tuple

from pipelines.cost.cycles import FITTED, Calibration
from pipelines.cost.hardware import IpuTarget
from pipelines.cost.layers import LayerSpec, LayerTable, slice_stages
from pipelines.cost.memory import StoragePolicy
from pipelines.cost.stage import StageCost, cost_stage
from pipelines.estimate import stage_times, step_time
from pipelines.published import PublishedRun

_STEPS = 30


@dataclass(frozen=True)
class FitCase:
    """One published row with all that does not depend on the fitted constants."""

    run: PublishedRun
    images_per_s: float
    stages: Tuple[LayerTable, ...]
    costs: Tuple[StageCost, ...]
    target: IpuTarget

    def predict(self, calibration: Calibration) -> float:
        """Return the images/s that the cost model estimates."""
        run = self.run
        plan, geometry = run.plan, run.geometry
        policy = StoragePolicy(run.precision, run.offload_optimizer, plan.recompute)
        times = stage_times(self.costs, self.target, recompute=plan.recompute, calibration=calibration)
        step = step_time(plan, self.costs, geometry, self.target, policy=policy, times=times)
        return geometry.samples_per_step / step.total_s


@dataclass(frozen=True)
class FitRow:
    """One row of the report: published and estimated images/s."""

    name: str
    published: float
    estimated: float
    left_out: float

    @property
    def error_pct(self) -> float:
        """In-sample error, with its sign."""
        return 100 * (self.estimated / self.published - 1)

    @property
    def left_out_error_pct(self) -> float:
        """Error of the prediction by a fit without this row's model size, with its sign."""
        return 100 * (self.left_out / self.published - 1)


@dataclass(frozen=True)
class FitReport:
    """The fitted constants, every row, and the mean absolute errors in per cent (in-sample, left out)."""

    calibration: Calibration
    rows: Tuple[FitRow, ...]
    baselines: Dict[str, Tuple[float, float]]

    @property
    def mean_pct(self) -> float:
        """Mean absolute in-sample error."""
        return _mean([abs(row.error_pct) for row in self.rows])

    @property
    def worst_pct(self) -> float:
        """Largest absolute in-sample error."""
        return max(abs(row.error_pct) for row in self.rows)

    @property
    def left_out_mean_pct(self) -> float:
        """Mean absolute error where each model size is left out of the fit in turn."""
        return _mean([abs(row.left_out_error_pct) for row in self.rows])

    @property
    def left_out_worst_pct(self) -> float:
        """Largest absolute error where each model size is left out in turn."""
        return max(abs(row.left_out_error_pct) for row in self.rows)

    def to_dict(self) -> Dict[str, object]:
        """Return plain data for JSON."""
        return {
            "elementwise_factor": self.calibration.elementwise_factor,
            "compute_set_cycles": self.calibration.compute_set_cycles,
            "mean_error_pct": self.mean_pct,
            "worst_error_pct": self.worst_pct,
            "leave_one_model_out_mean_pct": self.left_out_mean_pct,
            "leave_one_model_out_worst_pct": self.left_out_worst_pct,
            "baselines": {
                name: {"mean_pct": a, "left_out_pct": b} for name, (a, b) in self.baselines.items()
            },
            "rows": [
                {
                    "run": row.name,
                    "published_images_per_s": row.published,
                    "estimated_images_per_s": row.estimated,
                    "error_pct": row.error_pct,
                    "left_out_error_pct": row.left_out_error_pct,
                }
                for row in self.rows
            ],
        }


Predict = Callable[[FitCase], float]
Fit = Callable[[Sequence[FitCase]], Predict]


def make_case(
    run: PublishedRun, images_per_s: float, layers: Sequence[LayerSpec], target: IpuTarget
) -> FitCase:
    """Return the case of one published row."""
    stages = slice_stages(layers, [stage.first for stage in run.plan.stages])
    costs = [cost_stage(s, target, micro_batch=run.micro_batch, precision=run.precision) for s in stages]
    return FitCase(run, images_per_s, stages, tuple(costs), target)


def fit_report(cases: Sequence[FitCase]) -> FitReport:
    """Fit on all cases, and with each model size left out; refuses fewer than three sizes."""
    if len({case.run.model for case in cases}) < 3:
        raise ValueError(f"fit: {len(cases)} published rows: needs rows of three model sizes or more")
    calibration = fit_calibration(cases)
    left_out = _left_out(cases, _fit_model)
    rows = [
        FitRow(case.run.name, case.images_per_s, case.predict(calibration), left)
        for case, left in zip(cases, left_out)
    ]
    baselines = {
        "roofline of multiply-adds": _baseline(cases, _roofline),
        "activations of the widest stage": _baseline(cases, _widest_stage),
    }
    return FitReport(calibration, tuple(rows), baselines)


def fit_calibration(cases: Sequence[FitCase], start: Calibration = FITTED) -> Calibration:
    """Return the two constants with the least squared logarithmic error (Gauss-Newton in both, relative
    steps).
    """
    factor, cycles = start.elementwise_factor, start.compute_set_cycles
    for _ in range(_STEPS):
        errors = _log_errors(cases, Calibration(factor, cycles))
        step = 1e-4
        by_factor = _slope(errors, _log_errors(cases, Calibration(factor * (1 + step), cycles)), step)
        by_cycles = _slope(errors, _log_errors(cases, Calibration(factor, cycles * (1 + step))), step)
        up_factor, up_cycles = _solve(by_factor, by_cycles, errors)
        factor, cycles = factor * math.exp(up_factor), cycles * math.exp(up_cycles)
        if abs(up_factor) + abs(up_cycles) < 1e-9:
            break
    return Calibration(factor, cycles)


def _fit_model(cases: Sequence[FitCase]) -> Predict:
    calibration = fit_calibration(cases)
    return lambda case: case.predict(calibration)


def _log_errors(cases: Sequence[FitCase], calibration: Calibration) -> List[float]:
    return [math.log(case.predict(calibration) / case.images_per_s) for case in cases]


def _slope(before: Sequence[float], after: Sequence[float], step: float) -> List[float]:
    return [(b - a) / step for a, b in zip(before, after)]


def _solve(one: Sequence[float], two: Sequence[float], errors: Sequence[float]) -> Tuple[float, float]:
    """Solve the 2 x 2 normal equations of a Gauss-Newton step."""
    a, b, c = _dot(one, one), _dot(one, two), _dot(two, two)
    right_one, right_two = -_dot(one, errors), -_dot(two, errors)
    determinant = a * c - b * b
    return (right_one * c - right_two * b) / determinant, (a * right_two - b * right_one) / determinant


def _dot(one: Sequence[float], two: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(one, two))


def _left_out(cases: Sequence[FitCase], fit: Fit) -> List[float]:
    """Predict each case by a fit on the cases of all other model sizes."""
    predictors = {
        model: fit([case for case in cases if case.run.model != model])
        for model in {case.run.model for case in cases}
    }
    return [predictors[case.run.model](case) for case in cases]


def _baseline(cases: Sequence[FitCase], shape: Predict) -> Tuple[float, float]:
    """Return the errors, in-sample and left out, of a prediction with one fitted factor."""

    def fit(some: Sequence[FitCase]) -> Predict:
        scale = math.exp(_mean([math.log(case.images_per_s / shape(case)) for case in some]))
        return lambda case: scale * shape(case)

    predict = fit(cases)
    left_out = _left_out(cases, fit)
    return (
        _mean([abs(100 * (predict(case) / case.images_per_s - 1)) for case in cases]),
        _mean([abs(100 * (left / case.images_per_s - 1)) for left, case in zip(left_out, cases)]),
    )


def _roofline(case: FitCase) -> float:
    """Images/s if multiply-adds were all: one over the multiply-adds of an image."""
    convs = [layer.conv for stage in case.stages for layer in stage if layer.conv is not None]
    return 1.0 / sum(conv.multiply_adds for conv in convs)


def _widest_stage(case: FitCase) -> float:
    """Images/s if the stage with the most activation elements were all."""
    stages = [[layer for layer in stage if layer.conv is not None] for stage in case.stages]
    return case.run.replicas / max(sum(layer.out_elements for layer in stage) for stage in stages)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
