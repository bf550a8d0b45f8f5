"""The report's tables but those of networks: claims, simulator, loader, waiting, and what was published."""

from __future__ import annotations

from typing import Any, List, Mapping, Optional, Sequence

from benchmarks.measure.results import Results, rows_of
from benchmarks.report.claims import bar_rows
from benchmarks.report.table import NOT_MEASURED, Table

Row = Mapping[str, Any]


def bars_table(results: Results) -> Table:
    """Claims, what was found, and whether they hold."""
    rows = [_bar_cells(row) for row in bar_rows(results["suites"])]
    note = (
        "Measured; medians of the rounds' ratios, quartiles in brackets. All contestants of a row took turns."
    )
    head = ["claim", "met", "found", "goal", "measured on", "command"]
    return Table("Claims and what was found", note, head, rows, (2, 3), cards=True)


def _bar_cells(row: Row) -> List[str]:
    unit = " s" if row["unit"] == "s" else ""
    found = NOT_MEASURED
    if row["found"]:
        spread = row["found"]
        found = f"{spread['median']:.2f}{unit} [{spread['low']:.2f} to {spread['high']:.2f}]"
    goal = "-" if row["goal"] is None else f"{'>=' if row['at_least'] else '<='} {row['goal']:.2f}{unit}"
    met = "-" if row["met"] is None else "yes" if row["met"] else "NO"
    return [row["claim"], met, found, goal, row["date"] or "-", row["command"]]


def small_tables(results: Results) -> List[Table]:
    """The simulator, the loader, policies, planning and start-up."""
    tables = []
    simulator = [
        [
            row["case"],
            f"{row['ratio']['median']:.2f} [{row['ratio']['low']:.2f} to {row['ratio']['high']:.2f}]",
        ]
        for row in rows_of(results, "simulator")
    ]
    note = "Measured: time of a training call on the simulated IPU over that on the CPU runtime."
    tables.append(Table("Simulator", note, ["network", "ratio"], simulator, (1,)))
    tables.append(loader_table(rows_of(results, "loader")))
    tables.append(policies_table(rows_of(results, "policies")))
    waits = [
        [row["case"], f"{row['spread_s']['median']:.2f}", str(row["spread_s"]["repeats"])]
        for suite in ("startup", "planning")
        for row in rows_of(results, suite)
    ]
    note = "Measured: wall seconds, medians."
    tables.append(Table("What one waits for", note, ["what", "seconds", "repeats"], waits, (1, 2)))
    return [table for table in tables if table.rows]


def loader_table(rows: Sequence[Row]) -> Table:
    """The image loader beside what is commonly used; what is not installed says so."""
    measured = [row for row in rows if "not_measured" not in row]
    images = ", ".join(dict.fromkeys(row["images"] for row in measured))
    note = f"Measured: {images}, to augmented images of 224 px; CPU time of one core."
    head = ["case", "images/s per core", "x torchvision", "of bare decode"]
    return Table("Image loader", note, head, [_loader_cells(row) for row in rows], (1, 2, 3))


def policies_table(rows: Sequence[Row]) -> Table:
    """RandAugment beside the libraries', in the time of decoding and cropping."""
    cells = [
        [row["case"], row["not_measured"], "-"]
        if "not_measured" in row
        else [row["case"], f"{row['us_per_image']['median']:.0f}", _median(row["share_of_crop"], "{:.2f}")]
        for row in rows
    ]
    note = "Measured: two operations on an image of 224 px in memory; CPU time of one core."
    head = ["case", "microseconds an image", "x decode and crop"]
    return Table("Policies of augmentation", note, head, cells, (1, 2))


def _loader_cells(row: Row) -> List[str]:
    if "not_measured" in row:
        return [row["case"], row["not_measured"], "-", "-"]
    return [
        row["case"],
        f"{row['images_per_s_per_core']['median']:.0f}",
        _median(row["times_torchvision"], "{:.2f}"),
        _median(row["share_of_bare_decode"], "{:.0%}"),
    ]


def _median(spread: Optional[Row], form: str) -> str:
    return "-" if spread is None else form.format(spread["median"])


def paper_table(rows: Sequence[Row], below: str = "") -> Table:
    """The 30 published runs."""
    head = ["run", "top-1 %", "published images/s", "images/s", "G multiply-adds", "M parameters"]
    head += ["est. MB per IPU", "planner's images/s", "planner's plan"]
    lines = [
        [
            row["run"],
            f"{row['published_top1_pct']:.2f}",
            "-" if row["published_images_per_s"] is None else f"{row['published_images_per_s']:.0f}",
            f"{row['estimated_images_per_s']:.0f} est.",
            f"{row['multiply_adds'] / 1e9:.2f}",
            f"{row['parameters'] / 1e6:.2f}",
            ", ".join(f"{value}" for value in row["estimated_mb_per_ipu"]),
            f"{row['estimated_best_images_per_s']:.0f} est.",
            row["best_plan"],
        ]
        for row in rows
    ]
    note = (
        "Top-1 and 'published' from arXiv 2106.03640 (16 Mk2 IPUs); counts are computed; MB of each IPU of a "
        "replica. The planner's plans fit by a coarse memory rule that nobody has tried on hardware."
    )
    return Table("The 30 published runs", note, head, lines, (1, 2, 3, 4, 5, 7), below)


def published_table(rows: Sequence[Any]) -> Table:
    """Throughputs that others published, with their sources."""
    lines = [
        [row.case, row.platform, str(row.devices), f"{row.images_per_s:.0f}", row.source] for row in rows
    ]
    note = "Published, nobody here measured these; training images/s over all devices of a row."
    return Table(
        "Published throughputs", note, ["case", "platform", "devices", "images/s", "source"], lines, (2, 3)
    )
