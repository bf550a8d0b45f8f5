"""How good are the published splits? Estimates of the 30 published plans beside the planner's best ones.

``python -m benchmarks.published.plan_report`` writes ``benchmarks/results/plan_report.json`` and ``.md``.
Throughputs that were published are labelled so; everything else is estimated, and nothing is measured.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

from benchmarks.measure.results import FOLDER
from ipu_app.cli.planning import published_fit, published_layers
from ipu_app.environment import read_environ
from pipelines.cost.hardware import paper_target
from pipelines.estimate import StepEstimate, estimate_plan
from pipelines.fit import FitReport
from pipelines.planner import PlanLimits, plan_pipelines
from pipelines.published import PublishedRun, published_runs, published_throughputs

INTRODUCTION = """\
# The published plans against the planner's

16 Mk2 IPUs, global batch 768. *Published* images/s are read off the figure of arXiv 2106.03640. The rest
is *estimated* by the cost model; its error on the published rows:
{errors} with each model size left out of the fit.

*Best splits* keep the published IPUs per replica and micro-batch. *Best plan* is free; it mostly gains by
larger micro-batches, which fit by a coarse rule for memory (MB of counted tensors on the fullest IPU, limit
550) that nobody has tried on hardware. A gain below the error is no finding.
"""
COLUMNS = (
    "run",
    "published images/s",
    "estimated, published plan",
    "estimated, best splits",
    "gain",
    "estimated, best plan",
    "gain",
    "MB: published plan",
    "MB: best plan",
    "best plan: IPUs/replica, micro-batch",
    "best plan: splits",
)


def report_row(run: PublishedRun, published: Optional[float], environ: Mapping[str, str]) -> Dict[str, Any]:
    """Return one run's row: its own plan, the best of the same shape of job, and what that would gain."""
    layers = published_layers(run, environ)
    target = paper_target(run.available_memory_proportion)
    own = estimate_plan(
        layers,
        run.plan,
        run.geometry,
        target,
        precision=run.precision,
        offload_optimizer=run.offload_optimizer,
    )
    limits = PlanLimits(
        num_ipus=run.plan.num_stages * run.replicas,
        global_batch=run.geometry.samples_per_step,
        precision=run.precision,
        offload_optimizer=run.offload_optimizer,
    )
    same_shape = replace(limits, num_stages=run.plan.num_stages, micro_batch=run.micro_batch)
    recut = plan_pipelines(layers, target, same_shape, top=1).best
    best = plan_pipelines(layers, target, limits, top=1).best
    return {
        "run": run.name,
        "published_images_per_s": published,
        "estimated_published_plan": _facts(own),
        "estimated_best_splits": _facts(recut),
        "estimated_best_plan": _facts(best),
        "estimated_gain_of_splits_pct": 100 * (recut.images_per_s / own.images_per_s - 1),
        "estimated_gain_pct": 100 * (best.images_per_s / own.images_per_s - 1),
    }


def _facts(estimate: StepEstimate) -> Dict[str, Any]:
    geometry = estimate.geometry
    return {
        "images_per_s": estimate.images_per_s,
        "error_pct": estimate.error_pct,
        "splits": list(estimate.plan.splits),
        "micro_batch": geometry.micro_batch,
        "accumulation": geometry.accumulation,
        "replicas": geometry.total_replicas,
        "memory_mb": list(estimate.memory_mb),
    }


def write_report(rows: Sequence[Mapping[str, Any]], fit: FitReport, folder: Path) -> None:
    """Write the rows and the quality of the estimates as JSON and as a Markdown table."""
    folder.mkdir(parents=True, exist_ok=True)
    data = {"kind": "estimated", "fit": fit.to_dict(), "rows": list(rows)}
    (folder / "plan_report.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    (folder / "plan_report.md").write_text(to_markdown(rows, fit), encoding="utf-8")


def to_markdown(rows: Sequence[Mapping[str, Any]], fit: FitReport) -> str:
    """Return the report as Markdown."""
    errors = f"{fit.mean_pct:.1f} % mean, {fit.worst_pct:.1f} % worst; {fit.left_out_mean_pct:.1f} % mean"
    lines = [
        INTRODUCTION.format(errors=errors),
        f"| {' | '.join(COLUMNS)} |",
        f"|---|{'---:|' * 8}---|---|",
    ]
    lines += [_markdown_row(row) for row in rows]
    for what, key in (("splits", "estimated_gain_of_splits_pct"), ("whole plan", "estimated_gain_pct")):
        gains = [row[key] for row in rows]
        mean = sum(gains) / len(gains)
        lines += ["", f"Estimated gain, {what}: mean {mean:.1f} %, largest {max(gains):.1f} %."]
    return "\n".join(lines) + "\n"


def _markdown_row(row: Mapping[str, Any]) -> str:
    own, best = row["estimated_published_plan"], row["estimated_best_plan"]
    published = row["published_images_per_s"]
    cells = [
        row["run"],
        "-" if published is None else f"{published:.0f}",
        f"{own['images_per_s']:.0f}",
        f"{row['estimated_best_splits']['images_per_s']:.0f}",
        f"{row['estimated_gain_of_splits_pct']:+.1f} %",
        f"{best['images_per_s']:.0f}",
        f"{row['estimated_gain_pct']:+.1f} %",
        f"{max(own['memory_mb']):.0f}",
        f"{max(best['memory_mb']):.0f}",
        f"{len(best['splits']) + 1}, {best['micro_batch']}",
        " ".join(best["splits"]) or "-",
    ]
    return f"| {' | '.join(cells)} |"


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Make the report of all published runs."""
    parser = argparse.ArgumentParser(prog="plan_report", description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder for plan_report.json and .md")
    args = parser.parse_args(argv)
    environ = read_environ()
    published = {row.case: row.images_per_s for row in published_throughputs() if row.platform == "mk2"}
    rows: List[Dict[str, Any]] = []
    for run in published_runs().values():
        rows.append(report_row(run, published.get(run.name), environ))
        gain = rows[-1]["estimated_gain_pct"]
        print(f"{run.name}: best plan {gain:+.1f} % (estimated)", file=sys.stderr)
    write_report(rows, published_fit(environ), args.output)
    print(args.output / "plan_report.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
