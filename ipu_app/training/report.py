"""``report.html``: a finished run on one page that needs no other file, no network and no script."""

from __future__ import annotations

import base64
import html
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from ipu_app.training.metrics import Confusion
from ipu_app.training.rundir import RunDir, read_json

WORST = 10  # classes shown
_STYLE = """
body { font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; margin: 0 auto; max-width: 72rem; padding: 1.5rem;
  color: #1b1f24; background: #fff; }
h1 { font-size: 1.5rem; margin: 0 0 .2rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2rem 0 .6rem; border-bottom: 1px solid #d5dae0; padding-bottom: .2rem; }
p { margin: .2rem 0; } .dim { color: #59636e; overflow-wrap: anywhere; }
.figures { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.2rem 0; }
.figure { border: 1px solid #d5dae0; border-radius: .5rem; padding: .6rem .9rem; min-width: 8rem;
  max-width: 16rem; }
.figure b { display: block; font-size: 1.4rem; } .figure span { color: #59636e; font-size: .85rem; }
img { max-width: 100%; height: auto; } table { border-collapse: collapse; }
th, td { text-align: left; padding: .25rem 1.2rem .25rem 0; border-bottom: 1px solid #eceff2; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
pre { background: #f5f7f9; padding: .8rem; border-radius: .5rem; overflow: auto; font-size: .85rem; }
"""


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
    name = html.escape(run_dir.path.name)
    parts = [
        f"<h1>{name}</h1>",
        *(
            f'<p class="dim">{html.escape(str(summary[key]))}</p>'
            for key in ("model_is", "description", "dataset")
        ),
        _figures(_key_figures(summary)),
        "<h2>Curves</h2>",
        _picture(run_dir.curves, "loss, accuracy and learning rate over the epochs"),
        _resolutions(summary.get("evaluations", [])),
        _throughput(summary),
        _plan(run_dir, summary.get("estimate")),
        _worst(summary.get("worst_classes", [])),
        "<h2>Configuration</h2>",
        f"<pre>{html.escape(run_dir.config.read_text(encoding='utf-8'))}</pre>",
    ]
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{name}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body></html>\n"
    )
    run_dir.report.write_text(page, encoding="utf-8")


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


def _figures(figures: Iterable[Tuple[str, str]]) -> str:
    boxes = (
        f'<div class="figure"><b>{html.escape(value)}</b><span>{html.escape(what)}</span></div>'
        for value, what in figures
    )
    return f'<div class="figures">{"".join(boxes)}</div>'


def _picture(path: Path, text: str) -> str:
    if not path.is_file():
        return ""
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f'<img alt="{html.escape(text)}" src="data:image/png;base64,{data}">'


def _resolutions(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    cells = [
        [f"{row['resolution']} px", f"{row['top1']:.2%}", f"{row['top5']:.2%}", f"{row['loss']:.4f}"]
        for row in rows
    ]
    return "<h2>Other resolutions</h2>" + _table(["resolution", "top-1", "top-5", "loss"], cells)


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
    return "<h2>Throughput</h2>" + _table(["", "images/s", "what it is"], rows)


def _plan(run_dir: RunDir, estimate: Optional[Mapping[str, Any]]) -> str:
    if not estimate:
        return ""
    picture = _picture(run_dir.plan_picture, "what each IPU does during one step, and what it holds")
    return f"<h2>Plan</h2><p>{html.escape(estimate['text'])}</p>{picture}"


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
    return "<h2>Classes recognised worst</h2>" + _table(head, cells)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        numeric = [i in (1, 2) and len(head) == 4 or i == 1 for i in range(len(cells))]
        return "".join(
            f"<{tag}{' class=number' if is_number else ''}>{html.escape(cell)}</{tag}>"
            for cell, is_number in zip(cells, numeric)
        )

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f"<table><tr>{line(head, 'th')}</tr>{body}</table>"
