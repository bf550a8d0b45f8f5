"""The pictures: one for each part, as narrow as a phone, with error bars of one standard deviation."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Sequence

from benchmarks.evidence import part_group_size as groups
from benchmarks.evidence import part_half_resolution as half
from benchmarks.evidence import part_micro_batch as micro
from benchmarks.evidence import part_power as power
from benchmarks.evidence import part_progressive as growing
from benchmarks.evidence.jobs import Row
from benchmarks.evidence.names import COLOURS, MARKS, NORM_NAMES
from benchmarks.evidence.settings import Settings
from benchmarks.evidence.spread import Sample

WIDTH_IN, DPI = 5.2, 130
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#999999"
ACCURACY = "validation top-1, %"


def draw(part: str, record: Mapping[str, Any], settings: Settings, path: Path) -> None:
    """Draw one part's rows and timing to a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawing, panels, height = DRAWINGS[part]
    figure = Figure(figsize=(WIDTH_IN, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(panels, 1, squeeze=False)[:, 0]
    drawing(axes, record["rows"], record["timing"], settings)
    for panel in axes:
        panel.grid(alpha=0.3)
        panel.set_axisbelow(True)
    figure.savefig(str(path), dpi=DPI)


def _error_bars(axes: Any, x: Sequence[float], values: Sequence[Sample], **style: Any) -> None:
    means, stds = [100 * v.mean for v in values], [100 * v.std for v in values]
    axes.errorbar(x, means, yerr=stds, capsize=3, markersize=6, **style)


def _seeds(settings: Settings) -> str:
    return f"mean ± standard deviation of {len(settings.seeds)} seeds"


def _power(axes: Sequence[Any], rows: Sequence[Row], timing: Any, settings: Settings) -> None:
    for panel, net in zip(axes, power.nets(rows)):
        for offset, norm in enumerate(power.NORMS):
            values = power.curve(rows, net, norm)
            depths = list(range(1, len(values) + 1))
            means, stds = [100 * v.mean for v in values], [100 * v.std for v in values]
            low, high = ([m + sign * s for m, s in zip(means, stds)] for sign in (-1, 1))
            panel.fill_between(depths, low, high, color=COLOURS[norm], alpha=0.15, linewidth=0)
            style = {"color": COLOURS[norm], "marker": MARKS[norm], "markersize": 5}
            start = offset * len(depths) // 40
            panel.plot(
                depths, means, label=NORM_NAMES[norm], markevery=(start, max(1, len(depths) // 8)), **style
            )
        panel.set_ylim(-3, 103)
        panel.set_xlabel("depth, norms from the input")
        panel.set_ylabel("power in channel-wise\nconstants, % (measured)")
        name = power.net_name(net)
        panel.set_title(f"{name[0].upper()}{name[1:]} ({_seeds(settings)})", fontsize=9)
    axes[-1].legend(ncol=5, fontsize=8, loc="upper center", columnspacing=1.0)


def _micro_batch(axes: Sequence[Any], rows: Sequence[Row], timing: Any, settings: Settings) -> None:
    panel, sizes = axes[0], settings.micro_batches
    for offset, norm in enumerate(micro.NORMS):
        x = [size * 1.05 ** (offset - 1.5) for size in sizes]  # side by side, so that no bar hides another
        values = [micro.accuracy(rows, norm, size) for size in sizes]
        style = {"color": COLOURS[norm], "marker": MARKS[norm], "label": NORM_NAMES[norm]}
        _error_bars(panel, x, values, **style)
    panel.set_xscale("log", base=2)
    panel.set_xticks(sizes, [str(size) for size in sizes])
    panel.set_xlabel(f"micro-batch, images (global batch {settings.micro_batch.global_batch})")
    panel.set_ylabel(f"{ACCURACY} (measured)")
    panel.set_title(f"Digits, small EfficientNet\n({_seeds(settings)})", fontsize=9)
    panel.legend(fontsize=9)


def _group_size(axes: Sequence[Any], rows: Sequence[Row], timing: Any, settings: Settings) -> None:
    sizes = settings.group_sizes
    places = list(range(len(sizes)))
    _error_bars(axes[0], places, [groups.accuracy(rows, size) for size in sizes], color=BLUE, marker="o")
    axes[0].set_ylabel(f"{ACCURACY}\n(measured)")
    axes[0].set_title(f"Equal multiply-adds ({_seeds(settings)})", fontsize=9)
    ratios = [timing[f"G{size}"]["ratio"] for size in sizes]
    medians = [ratio["median"] for ratio in ratios]
    ends = [[m - r["low"] for m, r in zip(medians, ratios)], [r["high"] - m for m, r in zip(medians, ratios)]]
    axes[1].bar(places, medians, yerr=ends, capsize=4, color=ORANGE, width=0.6)
    axes[1].set_ylabel(f"training step, times\ngroups of {sizes[0]} (measured)")
    axes[1].set_title("On one CPU core (median and quartiles of the turns)", fontsize=9)
    axes[1].set_ylim(0)
    labels = [f"{size}\nratio {groups.EQUAL_COST_RATIOS[size]:g}" for size in sizes]
    for panel in axes:
        panel.set_xticks(places, labels)
        panel.set_xlabel("channels in a group, expand ratio")


def _half_resolution(axes: Sequence[Any], rows: Sequence[Row], timing: Any, settings: Settings) -> None:
    _trainings(axes[0], rows, timing, settings)
    _sweep(axes[1], rows, settings)


def _trainings(panel: Any, rows: Sequence[Row], timing: Any, settings: Settings) -> None:
    at = settings.native
    steps, total = timing["steps"], timing["total_ratio"]["median"]
    points = (
        (f"native, {at} px", 1.0, half.accuracy(rows, "native", 0, at), "#000000", "o"),
        (
            f"half, {settings.half} px",
            steps["half"]["ratio"]["median"],
            half.accuracy(rows, "half", 0, at),
            BLUE,
            "s",
        ),
        ("half + fine-tune", total, half.accuracy(rows, "half", 1, at), ORANGE, "D"),
    )
    for label, time, value, colour, mark in points:
        _error_bars(panel, [time], [value], color=colour, marker=mark, label=label, linestyle="none")
    panel.set_xlim(0, 1.1 * max(1.0, total))
    panel.set_xlabel("training time, times native's (measured, one core)")
    panel.set_ylabel(f"{ACCURACY}\n(measured)")
    panel.set_title(f"Tested at {at} px ({_seeds(settings)})", fontsize=9)
    panel.legend(fontsize=8, loc="best")


def _sweep(panel: Any, rows: Sequence[Row], settings: Settings) -> None:
    is_matched = {r: (r - settings.half) % half.modulus() == 0 for r in settings.sweep}
    found = {r: half.accuracy(rows, "half", 0, r) for r in settings.sweep}
    panel.plot(list(found), [100 * v.mean for v in found.values()], color=GREY, linewidth=1, zorder=1)
    for matched, colour, mark in ((True, BLUE, "s"), (False, ORANGE, "x")):
        x = [r for r in settings.sweep if is_matched[r] == matched]
        label = f"{'agrees' if matched else 'does not agree'} with {settings.half} modulo {half.modulus()}"
        style: Dict[str, Any] = {"color": colour, "marker": mark, "linestyle": "none", "label": label}
        _error_bars(panel, x, [found[r] for r in x], **style)
    panel.set_xlabel("tested at, px")
    panel.set_ylabel(f"{ACCURACY}\n(measured)")
    panel.set_title(f"Trained at {settings.half} px, not fine-tuned", fontsize=9)
    panel.legend(fontsize=8)


def _progressive(axes: Sequence[Any], rows: Sequence[Row], timing: Any, settings: Settings) -> None:
    panel = axes[0]
    for kind, colour, mark in zip(growing.TRAININGS, ("#000000", BLUE, ORANGE), "osD"):
        time = growing.time_ratio(rows, kind).mean
        style: Dict[str, Any] = {"color": colour, "marker": mark, "label": kind, "linestyle": "none"}
        _error_bars(panel, [time], [growing.accuracy(rows, kind)], **style)
    panel.set_xlim(0, 1.1)
    panel.set_xlabel("training time, times that of one size (measured, one core)")
    panel.set_ylabel(f"{ACCURACY} (measured)")
    panel.set_title(f"Tested at {settings.progressive_sizes[1]} px ({_seeds(settings)})", fontsize=9)
    panel.legend(fontsize=8, loc="best")


Drawing = Callable[[Sequence[Any], Sequence[Row], Any, Settings], None]
# part -> (drawing, panels, height in inches)
DRAWINGS: Dict[str, Any] = {
    power.NAME: (_power, 2, 7.0),
    micro.NAME: (_micro_batch, 1, 4.0),
    groups.NAME: (_group_size, 2, 6.6),
    half.NAME: (_half_resolution, 2, 6.8),
    growing.NAME: (_progressive, 1, 4.0),
}
