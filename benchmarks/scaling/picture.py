"""The scaling estimates as a picture: efficiency against IPUs, and what the step is spent on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Sequence

from benchmarks.scaling.markdown import KINDS, PLATFORM_NAMES, Row, group_curves

COLOURS = {"mk2": "#4c78a8", "bow": "#e45756"}
PART_COLOURS = {
    "compute": "#4c78a8",
    "waits": "#9ecae9",
    "bubble": "#d9d9d9",
    "all-reduce": "#e45756",
    "weight update": "#f2a65a",
    "host link": "#54a24b",
}
TITLE = (
    "EfficientNet G16 LN+PN from POD16 to POD256, all ESTIMATED by the cost model (nothing measured)\n"
    "numbers: images/s of the whole job; shaded: if the all-reduce has half or twice the assumed bandwidth\n"
    "(beyond 64 IPUs it crosses gateways and is assumed to have a third, hence the drop from 64 to 128)"
)


def draw_scaling(rows: Sequence[Row], path: Path, global_batch: int) -> None:
    """Write the picture of rows as ``scaling.json`` has them: a column per model."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    models = list(dict.fromkeys(row["model"] for row in rows))
    figure = Figure(figsize=(5.6 * len(models), 15), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(TITLE, fontsize=12)
    panels = figure.subplots(3, len(models), squeeze=False)
    for column, model in enumerate(models):
        own = [row for row in rows if row["model"] == model]
        _draw_weak(panels[0][column], own, f"{model.upper()} weak: global batch grows with the IPUs")
        _draw_strong(panels[1][column], own, f"{model.upper()} strong: global batch stays {global_batch}")
        platform = own[0]["platform"]
        title = (
            f"{model.upper()} strong, planned anew: {PLATFORM_NAMES[platform]} step, plan (replicas x IPUs)"
        )
        _draw_parts(panels[2][column], _curve(own, platform, KINDS[2]), title)
    figure.savefig(str(path), dpi=80)


def _curve(rows: Sequence[Row], platform: str, kind: str) -> List[Row]:
    found = next(c for key, c in group_curves(rows).items() if key[1:] == (platform, kind))
    return [row for row in found if row["estimate"] is not None]


def _platforms(rows: Sequence[Row]) -> List[str]:
    return list(dict.fromkeys(row["platform"] for row in rows))


def _draw_weak(axes: Any, rows: Sequence[Row], title: str) -> None:
    for platform in _platforms(rows):
        _draw_line(axes, _curve(rows, platform, KINDS[0]), PLATFORM_NAMES[platform])
    _finish(axes, rows, title)


def _draw_strong(axes: Any, rows: Sequence[Row], title: str) -> None:
    for platform in _platforms(rows):
        name, colour = PLATFORM_NAMES[platform], COLOURS[platform]
        _draw_line(axes, _curve(rows, platform, KINDS[2]), f"{name}, planned anew for each size")
        same = _curve(rows, platform, KINDS[1])
        last = same[-1]
        is_whole = last["ipus"] == max(row["ipus"] for row in rows)
        end = f"; beyond x: accumulation under its least, {last['min_accumulation']}"
        axes.plot(
            [row["ipus"] for row in same],
            [100 * row["efficiency"] for row in same],
            color=colour,
            linestyle=(0, (2, 2)),
            marker="" if is_whole else "x",
            markevery=[len(same) - 1],
            markersize=12,
            markeredgewidth=2,
            label=f"{name}, the POD16 plan{'' if is_whole else end}",
        )
    _finish(axes, rows, title)


def _draw_line(axes: Any, curve: Sequence[Row], label: str) -> None:
    """Draw one curve with its band and its images/s."""
    from matplotlib.patheffects import withStroke

    platform = curve[0]["platform"]
    sizes = [row["ipus"] for row in curve]
    efficiency = [100 * row["efficiency"] for row in curve]
    axes.plot(sizes, efficiency, marker="o", color=COLOURS[platform], label=label)
    scale = [e / row["estimate"]["images_per_s"] for e, row in zip(efficiency, curve)]
    low, high = ([s * row["range_images_per_s"][end] for s, row in zip(scale, curve)] for end in (0, 1))
    axes.fill_between(sizes, low, high, color=COLOURS[platform], alpha=0.12, linewidth=0)
    above = platform == "mk2"
    for size, percent, row in zip(sizes, efficiency, curve):
        axes.annotate(
            f"{row['estimate']['images_per_s']:,.0f}",
            (size, percent),
            xytext=(9, 9) if above else (-9, -17),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color=COLOURS[platform],
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
        )


def _finish(axes: Any, rows: Sequence[Row], title: str) -> None:
    sizes = sorted({row["ipus"] for row in rows})
    axes.axhline(100, color="black", linewidth=0.8, linestyle=":")
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.set_xlim(sizes[0] / 1.5, sizes[-1] * 1.5)
    axes.set_ylim(0, 118)
    axes.set_xlabel("IPUs")
    axes.set_ylabel("estimated images/s per IPU, % of POD16")
    axes.set_title(title, fontsize=10)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), fontsize=8, frameon=False)


def _draw_parts(axes: Any, curve: Sequence[Row], title: str) -> None:
    """Draw each size's step as a stacked bar, with its plan below."""
    positions = list(range(len(curve)))
    bottom = [0.0] * len(curve)
    for part, colour in PART_COLOURS.items():
        shares = [100 * row["parts_s"][part] / sum(row["parts_s"].values()) for row in curve]
        axes.bar(positions, shares, bottom=bottom, color=colour, label=part, width=0.72)
        for position, share, start in zip(positions, shares, bottom):
            if share >= 5:
                shade = "white" if part in ("compute", "all-reduce") else "black"
                middle = start + share / 2
                axes.text(position, middle, f"{share:.0f}", ha="center", va="center", fontsize=8, color=shade)
        bottom = [a + b for a, b in zip(bottom, shares)]
    axes.set_xticks(positions, [_plan_label(row) for row in curve], fontsize=8)
    axes.set_ylim(0, 100)
    axes.set_ylabel("estimated % of a step")
    axes.set_title(title, fontsize=10)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncol=3, fontsize=8, frameon=False)


def _plan_label(row: Row) -> str:
    found = row["estimate"]
    return (
        f"{row['ipus']} IPUs\n{found['replicas']} x {found['ipus_per_replica']}\n"
        f"micro {found['micro_batch']}\naccum. {found['accumulation']}"
    )
