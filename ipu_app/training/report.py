"""``report.html``: a finished run on one page that needs no other file, no network and no script."""

from __future__ import annotations

import html
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from ipu_app.training.html_page import dim, figures, page, picture, table
from ipu_app.training.metrics import Confusion
from ipu_app.training.rundir import RunDir, read_json

WORST = 10  # classes shown


def worst_classes(confusion: Confusion, classes: Sequence[str], count: int = WORST) -> List[Dict[str, Any]]:
    """Return the classes with the lowest accuracy below 1, the worst first, and for what they were taken."""
    rows = []
    for label, row in confusion.items():
        images = sum(row.values())
        wrong = sorted(((n, place) for place, n in row.items() if place != label), reverse=True)[:3]
        taken_for = [{"class": classes[place], "images": n} for n, place in wrong]
        if not wrong:
            continue
        accuracy = row.get(label, 0) / images
        rows.append({"class": classes[label], "accuracy": accuracy, "images": images, "taken_for": taken_for})
    return sorted(rows, key=lambda item: (item["accuracy"], -item["images"]))[:count]


def write_report(run_dir: RunDir) -> None:
    """Write the page from what else is in the run's folder: summary, configuration and pictures."""
    summary = read_json(run_dir.summary)
    name = run_dir.path.name
    parts = [
        f"<h1>{html.escape(name)}</h1>",
        *(dim(str(summary[key])) for key in ("model_is", "description", "dataset")),
        figures(_key_figures(summary)),
        "<h2>Curves</h2>",
        picture(run_dir.curves, "loss, accuracy and learning rate over the epochs"),
        _resolutions(summary.get("evaluations", [])),
        _throughput(summary),
        _plan(run_dir, summary.get("estimate")),
        _worst(summary.get("worst_classes", [])),
        "<h2>Configuration</h2>",
        f"<pre>{html.escape(run_dir.config.read_text(encoding='utf-8'))}</pre>",
    ]
    run_dir.report.write_text(page(name, parts), encoding="utf-8")


def _key_figures(summary: Mapping[str, Any]) -> Iterable[Tuple[str, str]]:
    if summary.get("val_top1") is not None:
        yield f"{summary['val_top1']:.2%}", f"top-1 on {summary['val_images']:.0f} validation images"
        yield f"{summary['val_top5']:.2%}", "top-5"
        yield f"{summary['val_loss']:.4f}", "validation loss, nats"
    yield str(summary["epochs"]), f"epochs, {summary['steps']} steps of {summary['global_batch']} images"
    if summary["images_per_s"] is not None:
        yield f"{summary['images_per_s']:.1f}", f"images/s, {summary['images_per_s_is']}"
    if summary.get("estimate"):
        yield (
            f"{summary['estimate']['images_per_s']:.0f}",
            "images/s on real IPUs, estimated by the cost model",
        )


def _resolutions(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    cells = [
        [f"{row['resolution']} px", f"{row['top1']:.2%}", f"{row['top5']:.2%}", f"{row['loss']:.4f}"]
        for row in rows
    ]
    return "<h2>Other resolutions</h2>" + table(
        ["resolution", "top-1", "top-5", "loss"], cells, numbers=(1, 2, 3)
    )


def _throughput(summary: Mapping[str, Any]) -> str:
    measured, estimate = summary["images_per_s"], summary.get("estimate")
    rows = [
        [
            "this run",
            "none (one call only)" if measured is None else f"{measured:.1f}",
            summary["images_per_s_is"],
        ]
    ]
    if estimate:
        error = f"estimated for {estimate['platform']}, expected error {estimate['error_pct']:.0f} %"
        rows.append(["the plan on IPUs", f"{estimate['images_per_s']:.0f}", error])
    return "<h2>Throughput</h2>" + table(["", "images/s", "what it is"], rows, numbers=(1,))


def _plan(run_dir: RunDir, estimate: Optional[Mapping[str, Any]]) -> str:
    if not estimate:
        return ""
    drawn = picture(run_dir.plan_picture, "what each IPU does during one step, and what it holds")
    return f"<h2>Plan</h2><p>{html.escape(estimate['text'])}</p>{drawn}"


def _worst(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    cells = [
        [
            row["class"],
            f"{row['accuracy']:.1%}",
            str(row["images"]),
            ", ".join(f"{other['class']} ({other['images']})" for other in row["taken_for"])
            or "nothing else",
        ]
        for row in rows
    ]
    head = ["class", "accuracy", "images", "taken for (images)"]
    return "<h2>Classes recognised worst</h2>" + table(head, cells, numbers=(1, 2))
