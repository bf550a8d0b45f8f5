"""The report's tables as plain text cells, for the terminal and for the page alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from benchmarks.bars import bar_rows
from benchmarks.cases import GRID
from benchmarks.harness import ratio
from benchmarks.results import Results, rows_of

NOT_MEASURED = "not measured"
Row = Mapping[str, Any]
Cell = Tuple[str, int, str, int]  # model, group size, norm, resolution


@dataclass(frozen=True)
class Table:
    """A table with its heading, a sentence on what its figures are, and which columns are numbers."""

    title: str
    note: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[int]


def bars_table(results: Results) -> Table:
    """Claims, what was found, and whether they hold."""
    rows = [_bar_cells(row) for row in bar_rows(results["suites"])]
    note = (
        "Measured; medians of the rounds' ratios, quartiles in brackets. All contestants of a row took turns."
    )
    head = ["claim", "found", "goal", "met", "measured on", "command"]
    return Table("Claims and what was found", note, head, rows, (1, 2))


def _bar_cells(row: Row) -> List[str]:
    unit = " s" if row["unit"] == "s" else ""
    found = NOT_MEASURED
    if row["found"]:
        spread = row["found"]
        found = f"{spread['median']:.2f}{unit} [{spread['low']:.2f} to {spread['high']:.2f}]"
    goal = "-" if row["goal"] is None else f"{'>=' if row['at_least'] else '<='} {row['goal']:.2f}{unit}"
    met = "-" if row["met"] is None else "yes" if row["met"] else "NO"
    return [row["claim"], found, goal, met, row["date"] or "-", row["command"]]


def cell_of(row: Row) -> Cell:
    """Return what identifies a network and its input, whatever measured it."""
    return row["model"], row["group_size"], row["norm"], row["resolution"]


def training_cells(rows: Sequence[Row]) -> List[Cell]:
    """Return the cells of this project's networks that were trained, in order, each once."""
    cells = [cell_of(row) for row in rows if row["library"] == "ours" and row["mode"] == "train"]
    return list(dict.fromkeys(cells))


@dataclass(frozen=True)
class Beside:
    """What stands beside the measured cells: estimates, a GPU's images/s, and published ones."""

    estimates: Mapping[Cell, Row]
    gpu: Mapping[Cell, float]
    published: Mapping[Cell, str]
    gpu_name: str = "GPU"

    @classmethod
    def of(cls, estimates: Sequence[Row], gpu: Optional[Results], published: Mapping[Cell, str]) -> Beside:
        """Sort everything by cell; of a GPU the fastest library's training."""
        rows = [row for row in rows_of(gpu, "networks") if row["mode"] == "train"]
        name = gpu["host"].upper() if gpu else "GPU"
        return cls({cell_of(row): row for row in estimates}, _fastest(rows), published, name)

    @property
    def head(self) -> List[str]:
        """Headings of ``cells``."""
        return [
            "POD16 Mk2 est.",
            "POD16 Bow est.",
            f"{self.gpu_name} measured",
            "Mk2 POD16 / GPU",
            "published",
        ]

    def cells(self, cell: Cell) -> List[str]:
        """Return what is known of a cell besides this machine's own figures."""
        return [
            *_ipu_cells(self.estimates.get(cell), self.gpu.get(cell)),
            self.published.get(cell, "-"),
        ]


def networks_table(results: Results, beside: Beside) -> Table:
    """Training images/s beside torchvision's and timm's, IPUs and GPUs."""
    rows = [row for row in _not_grid(results) if row["mode"] == "train"]
    head = ["network", "px", f"ours, {results['host']}", *_LIBRARIES[1:], "first step s", "peak MB"]
    lines = [[*_measured_cells(*item), *beside.cells(item[0])] for item in _by_library(rows).items()]
    note = (
        "Measured here (median, half the quartile range), float32 unless a GPU; rows of a model took turns, "
        "models did not. 'est.': estimated by the cost model for 16 IPUs with the plan of the nearest "
        "published run. 'published': with platform, listed below."
    )
    head += beside.head
    return Table("Training images/s", note, head, lines, tuple(range(1, len(head) - 1)))


def inference_table(results: Results) -> Table:
    """Inference images/s beside torchvision's and timm's."""
    rows = [row for row in _not_grid(results) if row["mode"] == "infer"]
    head = ["network", "px", f"ours, {results['host']}", *_LIBRARIES[1:], "first step s", "peak MB"]
    lines = [_measured_cells(*item) for item in _by_library(rows).items()]
    note = "Measured here (median, half the quartile range), float32 unless a GPU."
    return Table("Inference images/s", note, head, lines, tuple(range(1, len(head))))


def grid_table(results: Results, beside: Beside) -> Table:
    """Every group size and norm of B0, relative to groups of 1 with batch norm."""
    rows = [row for row in rows_of(results, "networks") if row["group"] == GRID]
    plain = [
        row["seconds"] for row in rows if (row["group_size"], row["norm"]) == (1, "bn") and "seconds" in row
    ]
    lines = []
    for row in rows:
        relative = ratio(plain[0], row["seconds"]).median if plain and "seconds" in row else None
        lines.append(
            [
                _network(cell_of(row)),
                _rate(row),
                "-" if relative is None else f"{relative:.2f}",
                _number(row, "peak_memory_mb", "{:.0f}"),
                *beside.cells(cell_of(row)),
            ]
        )
    head = ["network", results["host"], "times G1 BN", "peak MB", *beside.head]
    note = "Training images/s at 224 px; all rows took turns. As above."
    return Table("B0: group size and norm", note, head, lines, tuple(range(1, len(head) - 1)))


def _not_grid(results: Results) -> List[Dict[str, Any]]:
    return [row for row in rows_of(results, "networks") if row["group"] != GRID]


def _measured_cells(cell: Cell, libraries: Mapping[str, Row]) -> List[str]:
    own = libraries.get("ours", {})
    return [
        _network(cell),
        str(cell[3]),
        *(_rate(libraries.get(name)) for name in _LIBRARIES),
        _number(own, "first_step_s", "{:.1f}"),
        _number(own, "peak_memory_mb", "{:.0f}"),
    ]


_LIBRARIES = ("ours", "torchvision", "timm")


def _by_library(rows: Sequence[Row]) -> Dict[Cell, Dict[str, Row]]:
    cells: Dict[Cell, Dict[str, Row]] = {}
    for row in rows:
        libraries = cells.setdefault(cell_of(row), {})
        libraries.setdefault(row["library"], row)
    return cells


def _fastest(rows: Sequence[Row]) -> Dict[Cell, float]:
    best: Dict[Cell, float] = {}
    for row in rows:
        if "images_per_s" in row:
            rate = row["images_per_s"]["median"]
            best[cell_of(row)] = max(rate, best.get(cell_of(row), 0.0))
    return best


def _network(cell: Cell) -> str:
    return f"{cell[0].upper()} G{cell[1]} {cell[2].upper().replace('_', '+')}"


def _rate(row: Optional[Row]) -> str:
    if row is None:
        return "-"
    if "images_per_s" not in row:
        return str(row.get("not_measured", NOT_MEASURED))
    rate = row["images_per_s"]
    spread = 50 * (rate["high"] - rate["low"]) / rate["median"]
    return f"{rate['median']:.3g} ±{spread:.0f} %"


def _number(row: Row, key: str, form: str) -> str:
    return form.format(row[key]) if row.get(key) is not None else "-"


def _ipu_cells(estimate: Optional[Row], gpu_rate: Optional[float]) -> List[str]:
    mk2, bow = (
        f"{estimate[f'{name}_images_per_s']:.0f} ±{estimate[f'{name}_error_pct']:.0f} %" if estimate else "-"
        for name in ("mk2", "bow")
    )
    measured = NOT_MEASURED if gpu_rate is None else f"{gpu_rate:.0f}"
    quotient = NOT_MEASURED
    if gpu_rate and estimate:
        quotient = f"{estimate['mk2_images_per_s'] / gpu_rate:.1f}"
    return [mk2, bow, measured, quotient]


def small_tables(results: Results) -> List[Table]:
    """The simulator, the loader, planning and start-up."""
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
    loader = [
        [
            row["case"],
            f"{row['images_per_s_per_core']['median']:.0f}",
            f"{row['times_torchvision']['median']:.2f}",
            f"{row['share_of_bare_decode']['median']:.0%}",
        ]
        for row in rows_of(results, "loader")
    ]
    note = "Measured: JPEG files of 500x375 to augmented images of 224 px; CPU time of one core."
    head = ["case", "images/s per core", "x torchvision", "of bare decode"]
    tables.append(Table("Image loader", note, head, loader, (1, 2, 3)))
    waits = [
        [row["case"], f"{row['spread_s']['median']:.2f}", str(row["spread_s"]["repeats"])]
        for suite in ("startup", "planning")
        for row in rows_of(results, suite)
    ]
    note = "Measured: wall seconds, medians."
    tables.append(Table("What one waits for", note, ["what", "seconds", "repeats"], waits, (1, 2)))
    return [table for table in tables if table.rows]


def paper_table(rows: Sequence[Row]) -> Table:
    """The 30 published runs."""
    head = ["run", "top-1 %", "published images/s", "est. images/s", "G multiply-adds", "M parameters"]
    head += ["est. MB per IPU", "planner's est. images/s", "planner's plan"]
    lines = [
        [
            row["run"],
            f"{row['published_top1_pct']:.2f}",
            "-" if row["published_images_per_s"] is None else f"{row['published_images_per_s']:.0f}",
            f"{row['estimated_images_per_s']:.0f} ±{row['estimated_error_pct']:.0f} %",
            f"{row['multiply_adds'] / 1e9:.2f}",
            f"{row['parameters'] / 1e6:.2f}",
            " ".join(f"{value}" for value in row["estimated_mb_per_ipu"]),
            f"{row['estimated_best_images_per_s']:.0f}",
            row["best_plan"],
        ]
        for row in rows
    ]
    note = (
        "Top-1 and 'published' from arXiv 2106.03640 (16 Mk2 IPUs); 'est.': by the cost model; counts are "
        "computed. The planner's plans fit by a coarse memory rule that nobody has tried on hardware."
    )
    return Table("The 30 published runs", note, head, lines, (1, 2, 3, 4, 5, 7))


def published_table(rows: Sequence[Any]) -> Table:
    """Throughputs that others published, with their sources."""
    lines = [
        [row.case, row.platform, str(row.devices), f"{row.images_per_s:.0f}", row.source] for row in rows
    ]
    note = "Published, nobody here measured these; training images/s over all devices of a row."
    return Table(
        "Published throughputs", note, ["case", "platform", "devices", "images/s", "source"], lines, (2, 3)
    )
