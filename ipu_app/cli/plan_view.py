"""How ``plan`` shows what it found: tables with rich on a terminal, plain columns elsewhere."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, List, Optional, Sequence

if TYPE_CHECKING:
    from ipu_app.cli.planning import PlanReport
    from pipelines.cost.hardware import IpuTarget
    from pipelines.estimate import StepEstimate

LEGEND = (
    "> marks the proposal. replicas: copies of the model, each on IPUs/replica pipeline stages; accum.:\n"
    "micro-batches of a replica between two weight updates; bubble: share of the step lost to filling and\n"
    "draining the pipeline; idle: share of IPU time spent waiting for the slowest stage; fullest MB:\n"
    "counted tensors of the fullest IPU; splits: the sub-blocks at which the later stages start."
)
_TEXT_COLUMNS = ("splits", "starts at", "what", "lever", "name", "unit", "mark", "source", "run", "model")
_WIDEST_CELL = 76


def print_plans(report: PlanReport, *, save: Optional[Path] = None) -> None:
    """Show the plans, the stages of the first one and what was rejected. Every figure is an estimate."""
    best = report.best
    print(f"{report.title}\n{best.meaning}\n{best.step_summary}")
    print(f"{software_note(best.target)}\n")
    for hint in report.hints:
        print(f"{hint}\n")
    header = ["", "images/s", "IPUs/replica", "replicas", "micro", "accum.", "bubble", "idle", "fullest MB"]
    rows = [_plan_row(ranked.estimate, ranked.is_optimal) for ranked in report.plans]
    rows[0][0] = ">"
    title = "plans, estimated (* = no faster cuts exist for this shape, by the estimate)"
    print_table(title, [*header, "splits"], rows)
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
    print(f"{LEGEND}\n{_memory_note(report)}")
    if report.command:
        print(_next_command(report, save))


def software_note(target: IpuTarget) -> str:
    """Say what the framework's and the SDK's factor on the fitted software are."""
    from pipelines.cost import constants

    parts = []
    if target.framework == "poptorch":
        error = constants.value("error_pct.framework")
        factor = constants.value("framework_factor.poptorch")
        parts.append(
            f"PopTorch is taken as {factor:g} of TensorFlow 1's speed (calibrated, error {error:g} %)"
        )
    if target.sdk != "2.0":
        error, factor = constants.value("error_pct.sdk"), constants.value("sdk_factor.3")
        parts.append(f"SDK 2.4 and newer as {factor:g} of SDK 2.0's (calibrated on Bow, error {error:g} %)")
    return "; ".join(parts) or "The software on which the constants were fitted."


def _memory_note(report: PlanReport) -> str:
    fullest, known = max(report.best.memory_mb), report.known
    margin = known.counted_mb - fullest
    words = f"{margin:.0f} MB below it" if margin >= 0 else f"{-margin:.0f} MB above it"
    return (
        "Memory counts tensors only; code and exchange buffers come on top, so the limit is a coarse rule:\n"
        f"the fullest configuration known to run on SDK {known.sdk} ({known.name}) counts\n"
        f"{known.counted_mb} MB, the first plan is {words}. plan --known-runs lists them; set another limit "
        "with\n--memory-limit."
    )


def _next_command(report: PlanReport, save: Optional[Path]) -> str:
    name = str(save) if save else f"{report.model.name}.json"
    steps = [f"train --plan {name} --data /path/to/images"]
    if save is None:
        steps.insert(0, f"{report.command} --save {name}")
    return "\n".join(f"next: python -m ipu_app {step}" for step in steps)


def _plan_row(estimate: StepEstimate, is_optimal: bool) -> List[str]:
    geometry = estimate.geometry
    return [
        "",
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


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: with rich on a terminal that has it, else as columns whose long cells are folded."""
    if sys.stdout.isatty() and _print_rich(title, header, rows):
        return
    folded = [[textwrap.wrap(cell, _WIDEST_CELL) or [""] for cell in row] for row in [header, *rows]]
    widths = [max(len(line) for row in folded for line in row[k]) for k in range(len(header))]
    print(title)
    for row in folded:
        for index in range(max(map(len, row))):
            cells = [cell[index] if index < len(cell) else "" for cell in row]
            print("  " + "  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip())
    print()


def _print_rich(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    try:
        from rich.console import Console
        from rich.table import Table
    except ModuleNotFoundError:
        return False
    grid = Table(title=title, title_justify="left")
    for name in header:
        grid.add_column(name, justify="left" if name in _TEXT_COLUMNS else "right", overflow="fold")
    for row in rows:
        grid.add_row(*row)
    Console().print(grid)
    return True
