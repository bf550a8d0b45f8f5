"""``report.html`` and the pictures of a run of the benchmarks, made from its results file alone."""

from __future__ import annotations

import html
from pathlib import Path
from typing import List, Optional, Sequence

from benchmarks.measure.host_facts import one_line
from benchmarks.measure.results import Results, gpu_results, machine_of, rows_of
from benchmarks.report.ipu_estimates import cell_estimates, fit_note
from benchmarks.report.network_plot import plot_networks
from benchmarks.report.network_tables import (
    Beside,
    grid_table,
    inference_table,
    networks_table,
    pods_table,
    published_cells,
    recipe_table,
    training_cells,
)
from benchmarks.report.paper_plot import plot_efficiency
from benchmarks.report.table import Table
from benchmarks.report.tables import bars_table, paper_table, published_table, small_tables
from ipu_app.training.html_page import dim, page, picture, table
from pipelines.published import published_throughputs

SPEED_TEXT = "training images/s of this project, torchvision and timm, B0 to B5"
EFFICIENCY_TEXT = "published accuracy over images/s of the 30 runs, estimated and, where known, published"


def make_tables(results: Results, folder: Path) -> List[Table]:
    """Return all tables that the results have rows for."""
    gpu = results if "gpu" in machine_of(results) else gpu_results(folder)
    tables = [bars_table(results)]
    networks, paper = rows_of(results, "networks"), rows_of(results, "paper")
    errors = fit_note() if networks or paper else ""
    if networks:
        beside = Beside.of(cell_estimates(training_cells(networks)), gpu, published_cells())
        own = [networks_table(results), grid_table(results), recipe_table(results), inference_table(results)]
        tables += [each for each in own if each.rows]
        tables.append(pods_table(results, beside, errors))
    tables += small_tables(results)
    if paper:
        tables.append(paper_table(paper, errors))
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
        parts.append(table(each.head, each.rows, numbers=each.numbers, cards=each.cards))
        parts.append(dim(each.below) if each.below else "")
        if each.title == "Training images/s":
            parts.append(picture(speed, SPEED_TEXT, narrow=True))
        if each.title == "The 30 published runs":
            parts.append(picture(efficiency, EFFICIENCY_TEXT, narrow=True))
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
