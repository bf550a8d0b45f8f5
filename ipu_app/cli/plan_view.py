"""How ``plan`` shows what it found: tables with rich on a terminal, plain columns elsewhere."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Dict, List, Sequence

if TYPE_CHECKING:
    from ipu_app.cli.planning import PlanReport
    from pipelines.estimate import StepEstimate
    from pipelines.fit import FitReport

_COARSE = (
    "Memory counts tensors only; code and exchange buffers come on top, so the limit is a coarse rule,\n"
    "drawn just above the fullest published run. Set another with --memory-limit."
)


def print_plans(report: PlanReport) -> None:
    """Show the plans, the stages of the first one and what was rejected. Every figure is an estimate."""
    best = report.best
    print(f"{report.title}\n{best.describe()}\n")
    header = [
        "images/s",
        "IPUs/replica",
        "replicas",
        "micro",
        "accum.",
        "bubble",
        "idle",
        "fullest MB",
        "splits",
    ]
    rows = [_plan_row(ranked.estimate, ranked.is_optimal) for ranked in report.plans]
    print_table("plans, estimated (* = no faster cuts exist for this shape, by the estimate)", header, rows)
    print_table(
        "stages of the first plan, estimated per micro-batch",
        ["IPU", "starts at", "forward cycles", "backward cycles", f"MB of {report.limit_bytes / 1e6:.0f}"],
        [
            [
                str(stage.ipu),
                stage.first,
                f"{stage.forward_cycles:,.0f}",
                f"{stage.backward_cycles:,.0f}",
                f"{stage.memory.total_mb:.0f}",
            ]
            for stage in best.stages
        ],
    )
    if report.rejected:
        print_table(
            "does not fit",
            ["what", "needs MB", "of MB", "lever"],
            [[r.what, f"{r.demand:.0f}", f"{r.limit:.0f}", r.lever] for r in report.rejected],
        )
    print(_COARSE)


def _plan_row(estimate: StepEstimate, is_optimal: bool) -> List[str]:
    geometry = estimate.geometry
    return [
        f"{estimate.images_per_s:.0f}{'*' if is_optimal else ''}",
        str(estimate.plan.num_stages),
        str(geometry.total_replicas),
        str(geometry.micro_batch),
        str(geometry.accumulation),
        f"{100 * estimate.bubble_fraction:.1f} %",
        f"{100 * estimate.idle_fraction:.0f} %",
        f"{max(estimate.memory_mb):.0f}",
        " ".join(estimate.plan.splits) or "-",
    ]


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


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: with rich on a terminal that has it, else as columns."""
    if sys.stdout.isatty() and _print_rich(title, header, rows):
        return
    widths = [max(len(row[k]) for row in [header, *rows]) for k in range(len(header))]
    print(title)
    for row in [header, *rows]:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    print()


def _print_rich(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    try:
        from rich.console import Console
        from rich.table import Table
    except ModuleNotFoundError:
        return False
    grid = Table(title=title, title_justify="left")
    for name in header:
        is_text = name in (
            "splits",
            "starts at",
            "what",
            "lever",
            "name",
            "unit",
            "mark",
            "source",
            "run",
            "model",
        )
        grid.add_column(name, justify="left" if is_text else "right", overflow="fold")
    for row in rows:
        grid.add_row(*row)
    Console().print(grid)
    return True
