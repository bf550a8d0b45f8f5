"""The picture of the networks suite: training images/s over the model, in panels that a phone can show."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Sequence, Tuple

from benchmarks.report.plot_style import style_panel

Row = Mapping[str, Any]
Series = Tuple[str, str, str, Callable[[Row], bool]]  # label, colour, style, which rows


def _is_plain(row: Row, library: str) -> bool:
    plain = row["group_size"] == 1 and row["norm"] == "bn"
    return row["mode"] == "train" and row["library"] == library and plain


def _is_proxy(row: Row, *, half: bool) -> bool:
    from ipu_app.models.spec import SIZES

    native = row["resolution"] == SIZES[row["model"]].native
    ours = row["library"] == "ours" and row["group_size"] == 16 and row["norm"] == "ln_pn"
    return row["mode"] == "train" and ours and native != half


_PLAIN: Series = ("ours G1 BN", "#222222", "o-", lambda row: _is_plain(row, "ours"))
PANELS: Mapping[str, Sequence[Series]] = {
    "G1 BN in three libraries": (
        _PLAIN,
        ("timm", "#4477aa", "^-", lambda row: _is_plain(row, "timm")),
        ("torchvision", "#44aacc", "v-", lambda row: _is_plain(row, "torchvision")),
    ),
    "What the methods change": (
        _PLAIN,
        ("ours G16 LN+PN", "#cc3311", "s-", lambda row: _is_proxy(row, half=False)),
        ("the same, half resolution", "#cc3311", "s--", lambda row: _is_proxy(row, half=True)),
    ),
}


def plot_networks(rows: Sequence[Row], path: Path, *, where: str) -> None:
    """Draw images/s over the model: this project beside the other libraries, then its methods."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 7.6), constrained_layout=True)
    FigureCanvasAgg(figure)
    for axes, (title, series) in zip(figure.subplots(len(PANELS), 1), PANELS.items()):
        for each in series:
            _draw(axes, rows, each)
        style_panel(axes, title, log="y", ticks="{x:g}")
        axes.set_ylabel("training images/s (measured)")
        if axes.get_legend_handles_labels()[1]:
            axes.legend(frameon=False, fontsize=10)
    figure.suptitle(where.replace(", torch", ",\ntorch"), fontsize=9)
    figure.savefig(str(path), dpi=150)


def _draw(axes: Any, rows: Sequence[Row], series: Series) -> None:
    label, colour, style, belongs = series
    found: Dict[str, Mapping[str, float]] = {}
    for row in rows:
        if "images_per_s" in row and belongs(row):
            found.setdefault(row["model"], row["images_per_s"])  # the first is beside the others
    names = sorted(found)
    if not names:
        return
    medians = [found[name]["median"] for name in names]
    below = [found[name]["median"] - found[name]["low"] for name in names]
    above = [found[name]["high"] - found[name]["median"] for name in names]
    shown = [name.upper() for name in names]
    axes.errorbar(shown, medians, yerr=[below, above], fmt=style, color=colour, ms=5, label=label, capsize=2)
