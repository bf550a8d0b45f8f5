"""How good are the published splits? Estimates of the 30 published plans beside the planner's best ones.

``python -m benchmarks.plan_report`` writes ``benchmarks/results/plan_report.json`` and ``.md``. Throughputs
that were published are labelled so; everything else is estimated, and nothing is measured.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

from ipu_app.cli.planning import published_fit, published_layers
from ipu_app.environment import read_environ
from pipelines.cost.hardware import ipu_target
from pipelines.estimate import StepEstimate, estimate_plan
from pipelines.fit import FitReport
from pipelines.planner import PlanLimits, plan_pipelines
from pipelines.published import PublishedRun, published_runs, published_throughputs

RESULTS = Path(__file__).resolve().parent / "results"


def report_row(run: PublishedRun, published: Optional[float], environ: Mapping[str, str]) -> Dict[str, Any]:
    """Return one run's row: its own plan, the best of the same shape of job, and what that would gain."""
    layers = published_layers(run, environ)
    target = ipu_target("mk2", available_memory_proportion=run.available_memory_proportion)
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
    best = plan_pipelines(layers, target, limits, top=1).best
    return {
        "run": run.name,
        "published_images_per_s": published,
        "estimated_published_plan": _facts(own),
        "estimated_best_plan": _facts(best),
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
    lines = [
        "# The published plans against the planner's",
        "",
        "16 Mk2 IPUs, global batch 768. *Published* images/s are read off the figure of arXiv 2106.03640; everything else",
        f"is *estimated* by the cost model (in-sample error {fit.mean_pct:.1f} % mean, {fit.worst_pct:.1f} % worst; "
        f"{fit.left_out_mean_pct:.1f} % with each model",
        "size left out). A gain under that error is no finding: it says that the published plan is as good as any.",
        "Memory is of counted tensors, fullest IPU.",
        "",
        "| run | published images/s | estimated, published plan | estimated, best plan | estimated gain | MB, published "
        "plan | MB, best plan | best: micro-batch x accumulation x replicas | best: splits |",
        "|---|---:|---:|---:|---:|---:|---:|---|---|",
    ]
    lines += [_markdown_row(row) for row in rows]
    gains = [row["estimated_gain_pct"] for row in rows]
    lines += ["", f"Mean estimated gain {sum(gains) / len(gains):.1f} %, largest {max(gains):.1f} %.", ""]
    return "\n".join(lines)


def _markdown_row(row: Mapping[str, Any]) -> str:
    own, best = row["estimated_published_plan"], row["estimated_best_plan"]
    published = row["published_images_per_s"]
    cells = [
        row["run"],
        "-" if published is None else f"{published:.0f}",
        f"{own['images_per_s']:.0f}",
        f"{best['images_per_s']:.0f}",
        f"{row['estimated_gain_pct']:+.1f} %",
        f"{max(own['memory_mb']):.0f}",
        f"{max(best['memory_mb']):.0f}",
        f"{best['micro_batch']} x {best['accumulation']} x {best['replicas']}",
        " ".join(best["splits"]) or "-",
    ]
    return f"| {' | '.join(cells)} |"


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Make the report of all published runs."""
    parser = argparse.ArgumentParser(prog="plan_report", description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for plan_report.json and .md")
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
