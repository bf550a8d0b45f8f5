"""The paper's table, redone: published accuracy beside estimated throughput.

Accuracy and some throughputs are published (arXiv 2106.03640); images/s and MB per IPU of the published plans
and of the planner's better ones are estimated by the cost model; parameters and multiply-adds are computed.
"""

from __future__ import annotations

import csv
from typing import Any, Dict, List, Mapping

from benchmarks.measure.harness import significant
from benchmarks.published.plan_report import report_row
from ipu_app.environment import read_environ
from ipu_app.models.counts import count_multiply_adds, count_parameters
from ipu_app.models.spec import make_spec
from pipelines.published import DATA_FOLDER, PublishedRun, published_runs, published_throughputs

ACCURACIES = DATA_FOLDER / "published_accuracy.csv"


def published_accuracies() -> Dict[str, float]:
    """Return validation top-1 in per cent by run."""
    with ACCURACIES.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    return {
        f"{model}-{row['series']}": float(value)
        for row in rows
        for model, value in row.items()
        if model != "series"
    }


def paper_row(run: PublishedRun, environ: Mapping[str, str]) -> Dict[str, Any]:
    """Return one run's row: its network, what was published of it, and what is estimated for it."""
    spec = make_spec(run.model, group_size=run.group_size, norm=run.norm)
    published = {row.case: row.images_per_s for row in published_throughputs() if row.platform == "mk2"}
    estimates = report_row(run, published.get(run.name), environ)
    own, best = estimates["estimated_published_plan"], estimates["estimated_best_plan"]
    return {
        "run": run.name,
        "series": run.name.split("-", 1)[1],
        "parameters": sum(count_parameters(spec).values()),
        "multiply_adds": sum(count_multiply_adds(spec, run.resolution).values()),
        "published_top1_pct": published_accuracies()[run.name],
        "published_images_per_s": published.get(run.name),
        "estimated_images_per_s": significant(own["images_per_s"]),
        "estimated_mb_per_ipu": [round(value) for value in own["memory_mb"]],
        "estimated_best_images_per_s": significant(best["images_per_s"]),
        "estimated_best_mb_per_ipu": [round(value) for value in best["memory_mb"]],
        "best_plan": f"{len(best['splits']) + 1} IPUs per replica, micro-batch {best['micro_batch']}",
    }


def paper_rows() -> List[Dict[str, Any]]:
    """Return the rows of all 30 published runs."""
    environ = read_environ()
    return [paper_row(run, environ) for run in published_runs().values()]
