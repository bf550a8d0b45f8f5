"""The paper's efficiency plot, redrawn: published accuracy over throughput, published where it is known.

Two panels: the published plans, estimated throughputs beside the 12 published ones; then what the planner's
plans would change by the same estimate.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Mapping, Sequence

from benchmarks.report.plot_style import style_panel

Row = Mapping[str, Any]
SERIES = {  # name -> what the plot calls it, and its colour
    "g1-gn-native": ("G1 GN", "#222222"),
    "g16-gn-native": ("G16 GN", "#4477aa"),
    "g16-gn-half": ("G16 GN, half res.", "#44aacc"),
    "g16-ln_pn-native": ("G16 LN+PN", "#cc3311"),
    "g16-ln_pn-half": ("G16 LN+PN, half res.", "#ee7733"),
}


def plot_efficiency(rows: Sequence[Row], path: Path) -> None:
    """Draw both panels of B0 to B5."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 9.6), constrained_layout=True)
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 1, sharex=True, sharey=True)
    for axes, draw in zip(panels, (_draw_published_plans, _draw_planner)):
        for series, (label, colour) in SERIES.items():
            chosen = sorted((row for row in rows if row["series"] == series), key=lambda row: row["run"])
            draw(axes, chosen, label, colour)
    _mark(panels[0], "*", "published images/s", "#777777")
    _mark(panels[1], "o", "open: the planner's plan", "white")
    for axes, title in zip(panels, ("The published plans", "The planner's plans")):
        style_panel(axes, title, log="x", ticks="{x:,.0f}")
        axes.set_ylabel("ImageNet top-1 [%] (published)")
        axes.legend(frameon=False, fontsize=9, loc="lower left")
    panels[1].set_xlabel("training images/s on 16 Mk2 IPUs\n(estimated by the cost model; stars: published)")
    figure.savefig(str(path), dpi=150)


def published_points(rows: Sequence[Row]) -> List[Row]:
    """Return the rows whose throughput was published."""
    return [row for row in rows if row["published_images_per_s"] is not None]


def _draw_published_plans(axes: Any, rows: Sequence[Row], label: str, colour: str) -> None:
    top1, rates = _column(rows, "published_top1_pct"), _column(rows, "estimated_images_per_s")
    axes.plot(rates, top1, "o-", color=colour, ms=4, lw=1, label=label)
    known = published_points(rows)
    axes.plot(
        _column(known, "published_images_per_s"),
        _column(known, "published_top1_pct"),
        "*",
        color=colour,
        ms=11,
        mec="white",
        mew=0.6,
        zorder=3,
    )
    if label == "G1 GN":
        for row, x, y in zip(rows, rates, top1):
            axes.annotate(row["run"][:2].upper(), (x, y), xytext=(-10, -13), textcoords="offset points")


def _draw_planner(axes: Any, rows: Sequence[Row], label: str, colour: str) -> None:
    top1 = _column(rows, "published_top1_pct")
    axes.plot(_column(rows, "estimated_images_per_s"), top1, "o-", color=colour, ms=4, lw=1, label=label)
    best = _column(rows, "estimated_best_images_per_s")
    axes.plot(best, top1, "o--", color=colour, ms=6, mfc="white", lw=0.8)


def _column(rows: Sequence[Row], name: str) -> List[float]:
    return [row[name] for row in rows]


def _mark(axes: Any, marker: str, label: str, colour: str) -> None:
    axes.plot([], [], marker, color="#777777", mfc=colour, ms=9, ls="", label=label)
