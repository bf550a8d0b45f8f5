"""How ``plan`` tells about the model behind its figures: the fit, the constants, what is known to run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Dict, Sequence

from ipu_app.cli.plan_view import print_table

if TYPE_CHECKING:
    from pipelines.fit import FitReport


def print_fit(report: FitReport, *, as_json: bool) -> None:
    """Show a refit: constants, errors row by row, and the two naive baselines beside them."""
    if as_json:
        print(json.dumps(report.to_dict(), indent=2))
        return
    print_table(
        "published and estimated images/s",
        ["run", "published", "estimated", "error", "error, size left out"],
        [
            [
                row.name,
                f"{row.published:.0f}",
                f"{row.estimated:.0f}",
                f"{row.error_pct:+.1f} %",
                f"{row.left_out_error_pct:+.1f} %",
            ]
            for row in report.rows
        ],
    )
    errors: Dict[str, Sequence[float]] = {"this model": (report.mean_pct, report.left_out_mean_pct)}
    errors.update(report.baselines)
    print_table(
        "mean absolute error",
        ["model", "in-sample", "leave one model size out"],
        [[name, f"{mean:.1f} %", f"{left_out:.1f} %"] for name, (mean, left_out) in errors.items()],
    )
    print(
        f"worst: {report.worst_pct:.1f} % in-sample, {report.left_out_worst_pct:.1f} % left out\n"
        f"refitted: elementwise_factor {report.calibration.elementwise_factor:.3f}, compute_set_cycles "
        f"{report.calibration.compute_set_cycles:.0f}"
    )


def print_constants(*, as_json: bool) -> None:
    """Show every constant of the cost model: value, unit, mark and source."""
    from dataclasses import asdict

    from pipelines.cost.constants import table

    constants = list(table().values())
    if as_json:
        print(json.dumps([asdict(constant) for constant in constants], indent=2))
        return
    rows = [[c.name, f"{c.value:g}", c.unit, c.mark, c.source] for c in constants]
    print_table("constants of the cost model", ["name", "value", "unit", "mark", "source"], rows)


def print_known_runs(*, as_json: bool) -> None:
    """Show the configurations that are known to run, with what we count of each and its source."""
    from dataclasses import asdict

    from pipelines.known_runs import KNOWN_RUNS

    if as_json:
        print(json.dumps([asdict(run) for run in KNOWN_RUNS], indent=2))
        return
    rows = [
        [
            run.name,
            run.sdk,
            " ".join(run.splits),
            " x ".join(map(str, run.factors)),
            run.precision,
            str(run.counted_mb),
            run.source,
        ]
        for run in KNOWN_RUNS
    ]
    header = [
        "configuration",
        "SDK",
        "splits",
        "micro x accum. x replicas",
        "precision",
        "MB counted",
        "source",
    ]
    print_table("known to run: lower bounds of what fits", header, rows)
