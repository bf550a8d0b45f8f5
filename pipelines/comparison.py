"""Draw estimates side by side: images per second with their error, and the memory that each counts."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence, Tuple

from pipelines.estimate import StepEstimate


def draw_comparison(rows: Sequence[Tuple[str, StepEstimate]], path: Path, *, title: str) -> None:
    """Write one bar for each (label, estimate) to ``path`` (.png); needs matplotlib, and says so."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ValueError(f"plot={str(path)!r}: needs matplotlib: pip install matplotlib") from error
    if path.suffix.lower() != ".png":
        raise ValueError(f"plot={str(path)!r}: must end in .png")
    figure = Figure(figsize=(11, 2.2 + 0.42 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    speed_axes, memory_axes = figure.subplots(1, 2, gridspec_kw={"width_ratios": [2.4, 1]})
    figure.suptitle(title, fontsize=11)
    places = list(range(len(rows)))
    rates = [estimate.images_per_s for _, estimate in rows]
    errors = [estimate.images_per_s * estimate.error_pct / 100 for _, estimate in rows]
    speed_axes.barh(places, rates, xerr=errors, height=0.7, color="#4c78a8", ecolor="#9aa0a6", capsize=3)
    speed_axes.set_yticks(places, [label for label, _ in rows], fontsize=9)
    speed_axes.set_xlabel("estimated images/s; lines: the error to expect, most of it shared")
    fullest = [max(estimate.memory_mb) for _, estimate in rows]
    memory_axes.barh(places, fullest, height=0.7, color="#54a24b")
    memory_axes.axvline(rows[0][1].target.memory_limit_bytes / 1e6, color="#e45756", linewidth=1.5)
    memory_axes.set_yticks(places, [""] * len(rows))
    memory_axes.set_xlabel("MB on the fullest IPU, counted\nred: known to run")
    for axes in (speed_axes, memory_axes):
        axes.set_ylim(len(rows) - 0.5, -0.5)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
