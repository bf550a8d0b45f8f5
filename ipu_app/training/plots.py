"""The picture of a run: loss, accuracy and learning rate over the epochs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Mapping, Sequence

_TRAIN, _VAL = "#4477aa", "#cc3311"


def plot_curves(rows: Sequence[Mapping[str, Any]], path: Path, *, title: str) -> None:
    """Draw ``curves.png`` from the rows of a run; nothing is drawn where there are no train rows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    train = [row for row in rows if row["kind"] == "train"]
    val = [row for row in rows if row["kind"] == "val"]
    if not train:
        return
    figure = Figure(figsize=(11, 3.6), constrained_layout=True)
    FigureCanvasAgg(figure)
    loss, accuracy, lr = figure.subplots(1, 3)
    loss.plot(*_points(train, "loss"), color=_TRAIN, label="training")
    loss.plot(*_points(val, "loss"), "o-", color=_VAL, ms=4, label="validation (hard labels)")
    loss.set_ylabel("cross-entropy [nats]")
    loss.set_ylim(bottom=0)
    loss.legend(frameon=False)
    accuracy.plot(*_points(train, "accuracy", 100), color=_TRAIN)
    accuracy.plot(*_points(val, "top1", 100), "o-", color=_VAL, ms=4)
    accuracy.set_ylabel("top-1 accuracy [%]")
    accuracy.set_ylim(0, 101)
    if val:
        accuracy.annotate(
            f"{100 * val[-1]['top1']:.2f} %",
            (val[-1]["epoch"], 100 * val[-1]["top1"]),
            xytext=(-6, -16),
            textcoords="offset points",
            ha="right",
            color=_VAL,
        )
    lr.plot(*_points(train, "lr"), color="#222222")
    lr.set_ylabel("learning rate")
    lr.set_ylim(bottom=0)
    for axes in (loss, accuracy, lr):
        axes.set_xlabel("epoch")
        axes.set_xlim(left=0)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=11)
    figure.savefig(str(path), dpi=130)


def _points(rows: Sequence[Mapping[str, Any]], key: str, scale: float = 1.0) -> List[List[float]]:
    return [[row["epoch"] for row in rows], [scale * row[key] for row in rows]]
