"""The tables of networks: measured here beside other libraries, and beside IPUs, GPUs and what was published.

A cell (model, group size, norm, resolution) has one measured training figure in all of them: the first row's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from benchmarks.measure.cases import NORMS
from benchmarks.measure.harness import ratio
from benchmarks.measure.results import Results, rows_of
from benchmarks.report.table import NOT_MEASURED, Table
from pipelines.published import published_throughputs

Row = Mapping[str, Any]
Cell = Tuple[str, int, str, int]  # model, group size, norm, resolution
FEW_ROUNDS = 5  # so many at the most: the range of all, else quartiles
PLATFORMS = {  # platform -> devices, and what columns call it
    "mk2": (16, "Mk2 x16"),
    "bow": (16, "Bow x16"),
    "a100-80gb": (1, "A100"),
    "v100-16gb": (1, "V100"),
    "rtx-3090": (1, "RTX 3090"),
}
_LIBRARIES = ("ours", "torchvision", "timm")
_HEADLINES = ((1, "bn"), (16, "ln_pn"))  # of B0; its others are in a table of their own


def cell_of(row: Row) -> Cell:
    """Return what identifies a network and its input, whatever measured it."""
    return row["model"], row["group_size"], row["norm"], row["resolution"]


def training_cells(rows: Sequence[Row]) -> List[Cell]:
    """Return the cells of this project's networks that were trained, in order, each once."""
    cells = [cell_of(row) for row in rows if row["library"] == "ours" and row["mode"] == "train"]
    return list(dict.fromkeys(cells))


def published_cells() -> Dict[Cell, Dict[str, float]]:
    """Return the published images/s of one GPU or of 16 IPUs, by cell and platform."""
    found: Dict[Cell, Dict[str, float]] = {}
    for row in published_throughputs():
        if row.devices == PLATFORMS[row.platform][0]:
            model, group, norm, *_ = row.case.split("-")
            cell = (model, int(group[1:]), norm, _resolution(row.case))
            found.setdefault(cell, {})[row.platform] = row.images_per_s
    return found


def _resolution(case: str) -> int:
    from ipu_app.models.spec import SIZES

    last = case.rsplit("-", 1)[1]
    size = SIZES[case.split("-")[0]]
    return {"native": size.native, "half": size.half or size.native}.get(last) or int(last)


@dataclass(frozen=True)
class Beside:
    """What stands beside the measured cells: estimates, a GPU's images/s, and published ones."""

    estimates: Mapping[Cell, Row]
    gpu: Mapping[Cell, float]
    published: Mapping[Cell, Mapping[str, float]]
    gpu_name: str = "GPU"

    @classmethod
    def of(
        cls,
        estimates: Sequence[Row],
        gpu: Optional[Results],
        published: Mapping[Cell, Mapping[str, float]],
    ) -> Beside:
        """Sort everything by cell; of a GPU the fastest library's training."""
        rows = [row for row in rows_of(gpu, "networks") if row["mode"] == "train"]
        name = gpu["host"].upper() if gpu else "GPU"
        return cls({cell_of(row): row for row in estimates}, _fastest(rows), published, name)

    @property
    def head(self) -> List[str]:
        """Headings of ``cells``."""
        names = [f"{name} published" for _, name in PLATFORMS.values()]
        return ["POD16 Mk2", "POD16 Bow", f"{self.gpu_name} measured", "POD16 Mk2 / GPU", *names]

    def cells(self, cell: Cell) -> List[str]:
        """Return what is known of a cell besides this machine's own figures."""
        estimate, gpu_rate = self.estimates.get(cell), self.gpu.get(cell)
        measured = NOT_MEASURED if gpu_rate is None else f"{gpu_rate:.0f}"
        quotient = NOT_MEASURED
        if gpu_rate and estimate:
            quotient = f"{estimate['mk2_images_per_s'] / gpu_rate:.1f}"
        published = self.published.get(cell, {})
        return [
            *(f"{estimate[f'{name}_images_per_s']:.0f} est." if estimate else "-" for name in ("mk2", "bow")),
            measured,
            quotient,
            *(f"{published[name]:.0f}" if name in published else "-" for name in PLATFORMS),
        ]


def networks_table(results: Results) -> Table:
    """Training images/s beside torchvision's and timm's."""
    rows = [row for row in rows_of(results, "networks") if row["mode"] == "train"]
    rows = [row for row in rows if row["model"] != "b0" or (row["group_size"], row["norm"]) in _HEADLINES]
    note = f"{_how(rows)} Rows of a model took turns, models did not."
    return _side_by_side("Training images/s", note, results, rows)


def inference_table(results: Results) -> Table:
    """Inference images/s beside torchvision's and timm's."""
    rows = [row for row in rows_of(results, "networks") if row["mode"] == "infer"]
    return _side_by_side("Inference images/s", _how(rows), results, rows)


def _side_by_side(title: str, note: str, results: Results, rows: Sequence[Row]) -> Table:
    head = ["network", "px", f"ours, {results['host']}", *_LIBRARIES[1:], "first step s", "peak MB"]
    lines = [_measured_cells(*item) for item in _by_library(rows).items()]
    return Table(title, note, head, lines, tuple(range(1, len(head))))


def grid_table(results: Results) -> Table:
    """Every group size and norm of B0, relative to groups of 1 with batch norm in the same rounds."""
    rows = _native_b0(results, "train")
    plain = next((row for row in rows if (row["group_size"], row["norm"]) == (1, "bn")), None)
    rows.sort(key=lambda row: (row["group_size"], NORMS.index(row["norm"])))
    lines = [
        [_network(cell_of(row)), rate(row), _relative(row, plain), _number(row, "peak_memory_mb", "{:.0f}")]
        for row in rows
    ]
    head = ["network", results["host"], "times G1 BN", "peak MB"]
    note = f"Training images/s. {_how(rows)} 'times G1 BN': median of the rounds' ratios."
    return Table("B0: group size and norm", note, head, lines, (1, 2, 3))


def recipe_table(results: Results) -> Table:
    """What the application itself trains at: its runtime with the published recipe."""
    rows = _native_b0(results, "recipe")
    plain = {cell_of(row): row for row in _native_b0(results, "train")}
    lines = [
        [
            _network(cell_of(row)),
            str(row["batch"]),
            row["precision"],
            rate(row),
            _relative(row, plain.get(cell_of(row))),
            _number(row, "first_step_s", "{:.1f}"),
            _number(row, "peak_memory_mb", "{:.0f}"),
        ]
        for row in rows
    ]
    note = (
        f"Images/s of the application's own runtime with the published recipe: its RMSProp, the input's "
        f"arithmetic and the copy to the device. {_how(rows)} 'times SGD': over the plain step of the tables "
        "above, which all libraries share."
    )
    head = ["network", "batch", "precision", results["host"], "times SGD", "first step s", "peak MB"]
    return Table("As the application trains", note, head, lines, (1, 3, 4, 5, 6))


def pods_table(results: Results, beside: Beside, below: str = "") -> Table:
    """Training images/s of the same cells on 16 IPUs and on GPUs."""
    cells = sorted(training_cells(rows_of(results, "networks")), key=_order)
    lines = [[_network(cell), str(cell[3]), *beside.cells(cell)] for cell in cells]
    head = ["network", "px", *beside.head]
    note = (
        "Training images/s of the same networks elsewhere. POD16: estimated, with the plan of the nearest "
        "published run. Published: 16 IPUs or one GPU, sources below."
    )
    kept = [i for i in range(len(head)) if not lines or {line[i] for line in lines} != {"-"}]
    lines, head = [[line[i] for i in kept] for line in lines], [head[i] for i in kept]
    return Table("On 16 IPUs and on GPUs", note, head, lines, tuple(range(1, len(head))), below)


def _order(cell: Cell) -> Tuple[str, int, int, int]:
    model, group_size, norm, resolution = cell
    return model, -resolution, group_size, NORMS.index(norm)


def _native_b0(results: Results, mode: str) -> List[Row]:
    """This project's rows of B0 at its native resolution, the first of each cell."""
    from ipu_app.models.spec import SIZES

    first: Dict[Cell, Row] = {}
    for row in rows_of(results, "networks"):
        is_native = row["model"] == "b0" and row["resolution"] == SIZES["b0"].native
        if is_native and row["library"] == "ours" and row["mode"] == mode:
            first.setdefault(cell_of(row), row)
    return list(first.values())


def _relative(row: Row, base: Optional[Row]) -> str:
    """How many times the images/s of ``base``, by rounds that both were in; else no figure."""
    if base is None or "seconds" not in row or "seconds" not in base:
        return "-"
    if row["group"] != base["group"] or len(row["seconds"]) != len(base["seconds"]):
        return "-"
    speed_up = ratio(base["seconds"], row["seconds"]).median * row["batch"] / base["batch"]
    return f"{speed_up:.2f}"


def _measured_cells(cell: Cell, libraries: Mapping[str, Row]) -> List[str]:
    own = libraries.get("ours", {})
    return [
        _network(cell),
        str(cell[3]),
        *(rate(libraries.get(name)) for name in _LIBRARIES),
        _number(own, "first_step_s", "{:.1f}"),
        _number(own, "peak_memory_mb", "{:.0f}"),
    ]


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
            found = row["images_per_s"]["median"]
            best[cell_of(row)] = max(found, best.get(cell_of(row), 0.0))
    return best


def _network(cell: Cell) -> str:
    return f"{cell[0].upper()} G{cell[1]} {cell[2].upper().replace('_', '+')}"


def rate(row: Optional[Row]) -> str:
    """Return median images/s with what ``_how`` says stands in brackets, or why there is none."""
    if row is None:
        return "-"
    if "images_per_s" not in row:
        return str(row.get("not_measured", NOT_MEASURED))
    found = row["images_per_s"]
    low, high = found["low"], found["high"]
    if found["repeats"] <= FEW_ROUNDS:
        low, high = row["batch"] / max(row["seconds"]), row["batch"] / min(row["seconds"])
    return f"{_digits(found['median'])} [{_digits(low)} to {_digits(high)}]"


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"


def _how(rows: Iterable[Row]) -> str:
    """Say how the rates of these rows were measured, and what their brackets are."""
    measured = [row for row in rows if "images_per_s" in row]
    if not measured:
        return "Not measured."
    rounds = sorted({row["images_per_s"]["repeats"] for row in measured})
    starts = sorted({row.get("starts", 1) for row in measured})
    precisions = " and ".join(sorted({row["precision"] for row in measured}))
    what = "the range" if rounds[-1] <= FEW_ROUNDS else "the quartiles"
    return (
        f"Measured here in {precisions}: the median, in brackets {what} of {_span(rounds)} rounds in "
        f"{_span(starts)} start{'' if starts[-1] == 1 else 's'} of the process."
    )


def _span(values: Sequence[int]) -> str:
    return str(values[0]) if len(values) == 1 else f"{values[0]} to {values[-1]}"


def _number(row: Row, key: str, form: str) -> str:
    return form.format(row[key]) if row.get(key) is not None else "-"
