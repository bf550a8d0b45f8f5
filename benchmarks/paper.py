"""The paper's table and its efficiency plot, redone: published accuracy beside estimated throughput.

Accuracy and some throughputs are published (arXiv 2106.03640); images/s and MB per IPU of the published plans
and of the planner's better ones are estimated by the cost model; parameters and multiply-adds are computed.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence

from benchmarks.harness import significant
from benchmarks.plan_report import report_row
from ipu_app.environment import read_environ
from ipu_app.models.counts import count_multiply_adds, count_parameters
from ipu_app.models.spec import make_spec
from pipelines.published import PublishedRun, published_runs, published_throughputs

ACCURACIES = Path(__file__).resolve().parent / "published_accuracy.csv"
SERIES = {  # name -> what plots call it
    "g1-gn-native": "G1 GN",
    "g16-gn-native": "G16 GN",
    "g16-gn-half": "G16 GN, half resolution",
    "g16-ln_pn-native": "G16 LN+PN",
    "g16-ln_pn-half": "G16 LN+PN, half resolution",
}


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
        "estimated_error_pct": own["error_pct"],
        "estimated_mb_per_ipu": [round(value) for value in own["memory_mb"]],
        "estimated_best_images_per_s": significant(best["images_per_s"]),
        "estimated_best_mb_per_ipu": [round(value) for value in best["memory_mb"]],
        "best_plan": f"{len(best['splits']) + 1} IPUs per replica, micro-batch {best['micro_batch']}",
    }


def paper_rows() -> List[Dict[str, Any]]:
    """Return the rows of all 30 published runs."""
    environ = read_environ()
    return [paper_row(run, environ) for run in published_runs().values()]


def plot_efficiency(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw published accuracy over estimated throughput, B0 to B5, with the planner's plans as open marks."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    figure = Figure(figsize=(8, 6), constrained_layout=True)
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    colours = ("#222222", "#4477aa", "#66ccee", "#cc3311", "#ee7733")
    for (series, label), colour in zip(SERIES.items(), colours):
        chosen = sorted((row for row in rows if row["series"] == series), key=lambda row: row["run"])
        top1 = [row["published_top1_pct"] for row in chosen]
        own = [row["estimated_images_per_s"] for row in chosen]
        best = [row["estimated_best_images_per_s"] for row in chosen]
        axes.plot(own, top1, "o-", color=colour, ms=6, label=label)
        axes.plot(best, top1, "o--", color=colour, ms=6, mfc="white", lw=0.8)
        if series == "g1-gn-native":
            for row, x, y in zip(chosen, own, top1):
                axes.annotate(row["run"][:2].upper(), (x, y), xytext=(-8, -14), textcoords="offset points")
    axes.plot([], [], "o--", color="#777777", mfc="white", lw=0.8, label="open: the planner's plan")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("training images/s on 16 Mk2 IPUs (estimated by the cost model)")
    axes.set_ylabel("ImageNet top-1 [%] (published)")
    axes.grid(alpha=0.25, which="both")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
    figure.savefig(str(path), dpi=130)
