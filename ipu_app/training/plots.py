"""The pictures of a run: loss, accuracy and learning rate over the epochs, side by side or each alone."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Sequence

Rows = Sequence[Mapping[str, Any]]
_TRAIN, _VAL = "#4477aa", "#cc3311"


def plot_curves(rows: Rows, path: Path, *, title: str) -> None:
    """Draw ``curves.png`` from the rows of a run; nothing is drawn where there are no train rows."""
    if not _of(rows, "train"):
        return
    figure = _figure(11, 3.6)
    for axes, draw in zip(figure.subplots(1, len(PANELS)), PANELS.values()):
        _draw(axes, draw, rows)
    figure.suptitle(title, fontsize=11)
    figure.savefig(str(path), dpi=130)


def curve_panels(rows: Rows) -> Dict[str, bytes]:
    """Return each panel as a PNG by what it shows, for a page that places them as its width allows."""
    if not _of(rows, "train"):
        return {}
    pictures = {}
    for name, draw in PANELS.items():
        figure, file = _figure(4.4, 3.3), io.BytesIO()
        _draw(figure.subplots(), draw, rows)
        figure.savefig(file, dpi=170, format="png")
        pictures[name] = file.getvalue()
    return pictures


def _loss(axes: Any, train: Rows, val: Rows) -> None:
    axes.plot(*_points(train, "loss"), color=_TRAIN, label="training")
    axes.plot(*_points(val, "loss"), "o-", color=_VAL, ms=4, label="validation (hard labels)")
    axes.set_ylabel("cross-entropy [nats]")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)


def _accuracy(axes: Any, train: Rows, val: Rows) -> None:
    axes.plot(*_points(train, "accuracy", 100), color=_TRAIN)
    axes.plot(*_points(val, "top1", 100), "o-", color=_VAL, ms=4)
    axes.set_ylabel("top-1 accuracy [%]")
    axes.set_ylim(0, 101)
    if val and val[-1].get("top1") is not None:
        axes.annotate(
            f"{100 * val[-1]['top1']:.2f} %",
            (val[-1]["epoch"], 100 * val[-1]["top1"]),
            xytext=(-6, -16),
            textcoords="offset points",
            ha="right",
            color=_VAL,
        )


def _lr(axes: Any, train: Rows, _: Rows) -> None:
    axes.plot(*_points(train, "lr"), color="#222222")
    axes.set_ylabel("learning rate")
    axes.set_ylim(bottom=0)


PANELS: Mapping[str, Callable[[Any, Rows, Rows], None]] = {
    "loss over the epochs, in training and validation": _loss,
    "top-1 accuracy over the epochs, in training and validation": _accuracy,
    "learning rate over the epochs": _lr,
}


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), constrained_layout=True)
    FigureCanvasAgg(figure)
    return figure


def _draw(axes: Any, draw: Callable[[Any, Rows, Rows], None], rows: Rows) -> None:
    draw(axes, _of(rows, "train"), _of(rows, "val"))
    axes.set_xlabel("epoch")
    axes.set_xlim(left=0)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _of(rows: Rows, kind: str) -> List[Mapping[str, Any]]:
    return [row for row in rows if row["kind"] == kind]


def _points(rows: Rows, key: str, scale: float = 1.0) -> List[List[float]]:
    """Rows without this number, which was none (NaN), leave a gap."""
    values = [row.get(key) for row in rows]
    return [[row["epoch"] for row in rows], [math.nan if v is None else scale * v for v in values]]
