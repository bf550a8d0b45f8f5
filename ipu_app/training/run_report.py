"""``report.html``: a finished run on one page that needs no other file, no network and no script."""

from __future__ import annotations

import html
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from ipu_app.training.html_page import dim, figures, page, panels, picture, table
from ipu_app.training.metrics import Confusion
from ipu_app.training.plots import curve_panels
from ipu_app.training.rundir import RunDir, read_json
from ipu_app.training.sinks import read_rows

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
    """Write the page from what else is in the run's folder: summary, rows, configuration and pictures."""
    summary = read_json(run_dir.summary)
    name = run_dir.path.name
    parts = [
        f"<h1>{html.escape(name)}</h1>",
        *(dim(str(summary[key])) for key in ("model_is", "description", "dataset")),
        dim(describe_start(summary["start"])),
        figures(_key_figures(summary)),
        "<h2>Curves</h2>",
        panels(curve_panels(read_rows(run_dir.metrics))),
        _resolutions(summary),
        _throughput(summary),
        _plan(run_dir, summary.get("estimate")),
        _worst(summary.get("worst_classes", [])),
        "<h2>Configuration</h2>",
        f"<pre>{html.escape(run_dir.config.read_text(encoding='utf-8'))}</pre>",
    ]
    run_dir.report.write_text(page(name, parts), encoding="utf-8", errors="backslashreplace")


def _key_figures(summary: Mapping[str, Any]) -> Iterable[Tuple[str, str]]:
    if summary.get("val_top1") is not None:
        yield f"{summary['val_top1']:.2%}", f"top-1 on {summary['val_images']:.0f} validation images"
        yield f"{summary['val_top5']:.2%}", "top-5"
        yield f"{summary['val_loss']:.4f}", "validation loss, nats"
    batches = " and ".join(str(n) for n in _distinct(summary["phases"], "global_batch"))
    yield str(summary["epochs"]), f"epochs, {summary['steps']} steps of {batches} images"
    for name, rate in summary["images_per_s_of"].items():
        if rate is not None:
            phase = f" in {name}" if len(summary["phases"]) > 1 else ""
            yield f"{rate:.1f}", f"images/s{phase}, {summary['images_per_s_is']}"
    if summary.get("estimate"):
        yield (
            f"{summary['estimate']['images_per_s']:.0f}",
            f"images/s{_estimated_phase(summary)} on real IPUs, estimated by the cost model",
        )


def _distinct(phases: Mapping[str, Mapping[str, Any]], key: str) -> List[Any]:
    """Return the values of a key over the phases, each once, in order."""
    return list(dict.fromkeys(phase[key] for phase in phases.values()))


def _estimated_phase(summary: Mapping[str, Any]) -> str:
    """Return which phase the estimate is for, where there are several: the first that was trained."""
    return f" in {next(iter(summary['images_per_s_of']))}" if len(summary["phases"]) > 1 else ""


def describe_start(start: Mapping[str, Any]) -> str:
    """Return in words where a run's first weights came from, by ``start`` of its records."""
    described = {
        "scratch": "random weights",
        "init": "weights of the file {path} (SHA-256 {sha256:.12})",
        "from": "{weights} of the run {run} ({path}), trained for {epoch} epochs (SHA-256 {sha256:.12})",
    }.get(start["kind"], "not recorded")
    resumed = f"; resumed from {start['resumed']}" if "resumed" in start else ""
    return f"start: {described.format(**start)}{resumed}"


def _resolutions(summary: Mapping[str, Any]) -> str:
    own = list(summary["phases"].values())[-1]["resolution"]
    rows = [row for row in summary.get("evaluations", []) if row["resolution"] != own]
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
    estimate, rows = summary.get("estimate"), []
    for name, phase in summary["phases"].items():
        rate = summary["images_per_s_of"].get(name)
        is_known = name in summary["images_per_s_of"]
        measured = "none (one call only)" if is_known else "none (trained before it was resumed)"
        what = f"{phase['resolution']} px, steps of {phase['global_batch']} images"
        shown = measured if rate is None else f"{rate:.1f}"
        rows.append([f"{name}: {what}", shown, summary["images_per_s_is"]])
    if estimate:
        error = f"estimated for {estimate['platform']}, expected error {estimate['error_pct']:.0f} %"
        rows.append(
            [f"the plan{_estimated_phase(summary)} on IPUs", f"{estimate['images_per_s']:.0f}", error]
        )
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
