"""``report.html`` and the pictures of a run of the benchmarks, made from its results file alone."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

from benchmarks.estimates import cell_estimates
from benchmarks.machine import one_line
from benchmarks.paper import plot_efficiency
from benchmarks.results import Results, gpu_results, machine_of, rows_of
from benchmarks.tables import (
    Beside,
    Cell,
    Table,
    bars_table,
    grid_table,
    inference_table,
    networks_table,
    paper_table,
    published_table,
    small_tables,
    training_cells,
)
from ipu_app.training.html_page import dim, page, picture, table
from pipelines.published import published_throughputs

PLATFORM_NAMES = {
    "a100-80gb": "A100",
    "v100-16gb": "V100",
    "rtx-3090": "RTX 3090",
    "mk2": "Mk2",
    "bow": "Bow",
}


def published_cells() -> Dict[Cell, str]:
    """Return the published throughputs of one device or of 16 IPUs by cell."""
    found: Dict[Cell, List[str]] = {}
    for row in published_throughputs():
        if row.devices not in ((16,) if row.platform in ("mk2", "bow") else (1,)):
            continue
        model, group, norm, *_ = row.case.split("-")
        cell = (model, int(group[1:]), norm, _resolution(row.case))
        found.setdefault(cell, []).append(
            f"{row.images_per_s:.0f} {PLATFORM_NAMES[row.platform]} x{row.devices}"
        )
    return {cell: ", ".join(values) for cell, values in found.items()}


def _resolution(case: str) -> int:
    from ipu_app.models.spec import SIZES

    last = case.rsplit("-", 1)[1]
    size = SIZES[case.split("-")[0]]
    return {"native": size.native, "half": size.half or size.native}.get(last) or int(last)


def make_tables(results: Results, folder: Path) -> List[Table]:
    """Return all tables that the results have rows for."""
    gpu = results if "gpu" in machine_of(results) else gpu_results(folder)
    tables = [bars_table(results)]
    networks = rows_of(results, "networks")
    if networks:
        beside = Beside.of(cell_estimates(training_cells(networks)), gpu, published_cells())
        tables += [networks_table(results, beside), grid_table(results, beside), inference_table(results)]
    tables += small_tables(results)
    if rows_of(results, "paper"):
        tables.append(paper_table(rows_of(results, "paper")))
    return [*tables, published_table(published_throughputs())]


def write_report(results: Results, folder: Path, tables: Optional[Sequence[Table]] = None) -> Path:
    """Write the pictures and the page (a GPU's under names of its own); returns the page's path."""
    tables = make_tables(results, folder) if tables is None else tables
    folder.mkdir(parents=True, exist_ok=True)
    prefix = f"{results['host']}-" if "gpu" in machine_of(results) else ""
    efficiency, speed = folder / f"{prefix}efficiency.png", folder / f"{prefix}networks.png"
    if rows_of(results, "paper"):
        plot_efficiency(rows_of(results, "paper"), efficiency)
    if rows_of(results, "networks"):
        plot_networks(rows_of(results, "networks"), speed, where=one_line(machine_of(results, "networks")))
    parts = [f"<h1>Benchmarks on {html.escape(results['host'])}</h1>", dim(one_line(machine_of(results)))]
    for each in tables:
        parts += [f"<h2>{html.escape(each.title)}</h2>", dim(each.note)]
        parts.append(table(each.head, each.rows, numbers=each.numbers))
        if each.title == "Training images/s":
            parts.append(picture(speed, "training images/s of this project, torchvision and timm, B0 to B5"))
        if each.title == "The 30 published runs":
            parts.append(picture(efficiency, "published accuracy over estimated images/s of the 30 runs"))
    parts += ["<h2>How it was measured</h2>", *_sections(results)]
    path = folder / f"{prefix}report.html"
    path.write_text(page(f"Benchmarks on {results['host']}", parts), encoding="utf-8")
    return path


def _sections(results: Results) -> List[str]:
    lines = []
    for name, section in results["suites"].items():
        busy = section["machine"]["load_average"][0]
        lines.append(
            f"{name}: {one_line(section['machine'])}, {section['threads']} threads, load {busy} at start, "
            f"{section['seconds']:.0f} s; {section['command']}"
        )
    return [dim(line) for line in lines]


def plot_networks(rows: Sequence[Mapping[str, Any]], path: Path, *, where: str) -> None:
    """Draw images/s over the model for this project and the other libraries, training only."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    series = (
        ("ours G16 LN+PN, half resolution", "#cc3311", "s--", lambda row: _is_proxy(row, half=True)),
        ("ours G16 LN+PN", "#cc3311", "s-", lambda row: _is_proxy(row, half=False)),
        ("ours G1 BN", "#222222", "o-", lambda row: _is_plain(row, "ours")),
        ("timm", "#4477aa", "^-", lambda row: _is_plain(row, "timm")),
        ("torchvision", "#66ccee", "v-", lambda row: _is_plain(row, "torchvision")),
    )
    figure = Figure(figsize=(8, 5), constrained_layout=True)
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for label, colour, style, belongs in series:
        found: Dict[str, Mapping[str, float]] = {}
        for row in rows:
            if "images_per_s" in row and belongs(row):
                found.setdefault(row["model"], row["images_per_s"])  # the first is beside the others
        if not found:
            continue
        names = sorted(found)
        medians = [found[name]["median"] for name in names]
        below = [found[name]["median"] - found[name]["low"] for name in names]
        above = [found[name]["high"] - found[name]["median"] for name in names]
        shown = [name.upper() for name in names]
        axes.errorbar(
            shown, medians, yerr=[below, above], fmt=style, color=colour, ms=5, label=label, capsize=2
        )
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel("training images/s (measured)")
    axes.set_title(where, fontsize=9)
    axes.grid(alpha=0.25, which="both")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
    figure.savefig(str(path), dpi=130)


def _is_plain(row: Mapping[str, Any], library: str) -> bool:
    plain = row["group_size"] == 1 and row["norm"] == "bn"
    return row["mode"] == "train" and row["library"] == library and plain


def _is_proxy(row: Mapping[str, Any], *, half: bool) -> bool:
    from ipu_app.models.spec import SIZES

    native = row["resolution"] == SIZES[row["model"]].native
    ours = row["library"] == "ours" and row["group_size"] == 16 and row["norm"] == "ln_pn"
    return row["mode"] == "train" and ours and native != half
