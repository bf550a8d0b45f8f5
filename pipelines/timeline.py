"""Draw a plan: what each IPU of a replica does during one step, and what it holds, to a PNG file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, List, Sequence, Tuple

from pipelines.estimate import StepEstimate
from pipelines.schedule import Phase, phase_seconds, pipeline_phases
from pipelines.words import counted

COLOURS = {"forward": "#4c78a8", "recompute": "#9ecae9", "backward": "#f58518"}
MEMORY_PARTS = (
    ("parameter_bytes", "parameters and optimiser state", "#54a24b"),
    ("activation_bytes", "activations", "#4c78a8"),
    ("stash_bytes", "stashed stage inputs", "#b279a2"),
    ("temporary_bytes", "temporaries", "#bab0ac"),
)


@dataclass(frozen=True)
class Bar:
    """One stage's task on the time axis (milliseconds)."""

    stage: int
    kind: str
    micro_batch: int
    start_ms: float
    length_ms: float


def lay_out(phases: Sequence[Phase]) -> Tuple[Tuple[Bar, ...], float]:
    """Return the bars of consecutive phases and where the last one ends, in milliseconds."""
    bars: List[Bar] = []
    now = 0.0
    for phase in phases:
        start = {task.stage: now for task in phase}
        for task in phase:
            length = 1e3 * task.duration_s
            bars.append(Bar(task.stage, task.kind, task.micro_batch, start[task.stage], length))
            start[task.stage] += length
        now += 1e3 * phase_seconds(phase)
    return tuple(bars), now


def draw_timeline(estimate: StepEstimate, path: Path, *, title: str, limit_bytes: float) -> None:
    """Write the picture of one step to ``path`` (.png); needs matplotlib, and says so where it is missing."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ValueError(f"plot={str(path)!r}: needs matplotlib: pip install matplotlib") from error
    if path.suffix.lower() != ".png":
        raise ValueError(f"plot={str(path)!r}: must end in .png")
    num_stages = estimate.plan.num_stages
    figure = Figure(figsize=(15, 3.4 + 0.45 * num_stages), layout="constrained")
    FigureCanvasAgg(figure)
    time_axes, memory_axes = figure.subplots(1, 2, gridspec_kw={"width_ratios": [3.4, 1]})
    figure.suptitle(f"{title}\n{_caption(estimate)}", fontsize=11)
    _draw_step(time_axes, estimate)
    _draw_memory(memory_axes, estimate, limit_bytes)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(str(path), dpi=110)


def _caption(estimate: StepEstimate) -> str:
    geometry = estimate.geometry
    return (
        f"estimated (expected error {estimate.error_pct:.0f} %): {estimate.images_per_s:.0f} images/s, step "
        f"{1e3 * estimate.step_s:.1f} ms = {geometry.accumulation} micro-batches of {geometry.micro_batch} "
        f"on each of {counted(geometry.total_replicas, 'replica')} of "
        f"{counted(estimate.plan.num_stages, 'IPU')}"
    )


def _shown_accumulation(estimate: StepEstimate) -> int:
    """Enough micro-batches for both ramps and a few full slots; longer steps repeat the full slot."""
    return min(estimate.geometry.accumulation, 2 * estimate.plan.num_stages + 3)


def _draw_step(axes: Any, estimate: StepEstimate) -> None:
    """Draw the stages over time; of a long step the middle, where every slot is alike, is left out."""
    shown = _shown_accumulation(estimate)
    hidden = estimate.geometry.accumulation - shown
    times = [stage.times for stage in estimate.stages]
    phases = list(pipeline_phases(times, shown, estimate.plan.schedule))
    bars, end_ms = lay_out(phases)
    break_ms = _break_ms(phases)
    tail_ms = 1e3 * (estimate.time.allreduce_s + estimate.time.update_s + estimate.time.offload_s)
    num_stages = estimate.plan.num_stages
    for stage in range(num_stages):
        axes.barh(stage, end_ms, height=0.8, color="#f2f2f2", hatch="////", edgecolor="#d9d9d9", linewidth=0)
    for bar in bars:
        axes.barh(
            bar.stage,
            bar.length_ms,
            left=bar.start_ms,
            height=0.8,
            color=COLOURS[bar.kind],
            edgecolor="white",
            linewidth=0.5,
        )
    _number_bars(axes, bars, end_ms, hidden=hidden, break_ms=break_ms)
    axes.barh(range(num_stages), tail_ms, left=end_ms, height=0.8, color="#e45756", linewidth=0)
    if hidden:
        _mark_break(axes, break_ms, hidden)
    axes.set_yticks(range(num_stages), [f"IPU {s.ipu}\n{s.first}" for s in estimate.stages], fontsize=8)
    axes.set_ylim(num_stages - 0.5, -0.5 - (0.6 if hidden else 0))
    axes.set_xlim(0, end_ms + tail_ms)
    left_out = f" ({hidden} left out)" if hidden else ""
    axes.set_xlabel(f"estimated milliseconds; numbers are micro-batches{left_out}")
    axes.set_title(_step_title(estimate), fontsize=9)
    _legend(axes)


def _step_title(estimate: StepEstimate) -> str:
    return (
        f"one step, {estimate.plan.schedule} schedule: bubble {100 * estimate.bubble_fraction:.1f} % of "
        f"the step, {100 * estimate.idle_fraction:.0f} % of a full slot waits for the slowest IPU"
    )


def _number_bars(axes: Any, bars: Sequence[Bar], end_ms: float, *, hidden: int, break_ms: float) -> None:
    """Write the micro-batch into bars that are wide enough; after the break the numbers jump by what it
    hides.
    """
    for bar in bars:
        number = bar.micro_batch + (hidden if bar.start_ms >= break_ms else 0)
        if bar.length_ms > end_ms / 60:
            middle = bar.start_ms + bar.length_ms / 2
            colour = "black" if bar.kind == "recompute" else "white"
            axes.text(middle, bar.stage, str(number), ha="center", va="center", fontsize=7, color=colour)


def _break_ms(phases: Sequence[Phase]) -> float:
    """Where micro-batches can be left out: before a busiest phase with a new one on the first stage."""
    new = (0, "forward")
    starts = [k for k, tasks in enumerate(phases) if tasks and (tasks[0].stage, tasks[0].kind) == new]
    most = max(len(phases[k]) for k in starts)
    busiest = [k for k in starts if len(phases[k]) == most]
    return lay_out(phases[: busiest[len(busiest) // 2]])[1]


def _mark_break(axes: Any, at_ms: float, hidden: int) -> None:
    axes.axvline(at_ms, color="black", linestyle=(0, (2, 2)), linewidth=1.2)
    text = f"{hidden} more micro-batches like these are left out here"
    axes.text(at_ms, -0.62, text, ha="center", va="bottom", fontsize=8, backgroundcolor="white")


def _legend(axes: Any) -> None:
    from matplotlib.patches import Patch

    entries = [Patch(color=colour, label=kind) for kind, colour in COLOURS.items()]
    entries.append(Patch(facecolor="#f2f2f2", edgecolor="#c0c0c0", hatch="////", label="waits"))
    entries.append(Patch(color="#e45756", label="all-reduce, weight update"))
    axes.legend(
        handles=entries, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncol=5, fontsize=8, frameon=False
    )


def _draw_memory(axes: Any, estimate: StepEstimate, limit_bytes: float) -> None:
    """Draw the counted tensors of each IPU, stacked, against the limit."""
    positions = list(range(estimate.plan.num_stages))
    left = [0.0] * len(positions)
    for field, label, colour in MEMORY_PARTS:
        sizes = [getattr(stage.memory, field) / 1e6 for stage in estimate.stages]
        axes.barh(positions, sizes, left=left, height=0.8, color=colour, label=label)
        left = [a + b for a, b in zip(left, sizes)]
    for position, total in zip(positions, left):
        axes.text(total, position, f" {total:.0f}", va="center", fontsize=8)
    axes.axvline(limit_bytes / 1e6, color="#e45756", linewidth=1.5)
    axes.set_yticks(positions, [f"IPU {position}" for position in positions], fontsize=8)
    axes.set_ylim(len(positions) - 0.5, -0.5)
    axes.set_xlim(0, 1.15 * max(max(left), limit_bytes / 1e6))
    axes.set_xlabel("estimated MB of counted tensors")
    axes.set_title(f"memory per IPU; limit {limit_bytes / 1e6:.0f} MB (coarse)", fontsize=9)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncol=2, fontsize=7, frameon=False)
