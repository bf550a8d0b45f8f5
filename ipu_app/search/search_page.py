"""The page of a search: what was asked, the Pareto plot, candidates, and the winner section by section."""

from __future__ import annotations

import io
import statistics
from pathlib import Path
from typing import Any, Dict, List, Sequence

from ipu_app.models.choices import Choice, own_choices
from ipu_app.models.spec import make_spec
from ipu_app.search.findings import front, ranked
from ipu_app.search.reward import tie_classes
from ipu_app.search.space import Space
from ipu_app.search.study import Evaluator, Found
from ipu_app.training import html_page as web
from pipelines.words import counted

SHOWN = 25
BESIDE = ("b0", "v2-b0", "v2-s")  # published networks that the winner is set beside, where sections match


def write_page(folder: Path, title: str, evaluator: Evaluator, found: Sequence[Found]) -> Path:
    """Write ``report.html``; it needs no other file."""
    able = ranked(found)
    parts = [f"<h1>{title}</h1>", web.dim(_asked(evaluator)), web.dim(f"S: {evaluator.step_time.label}")]
    parts.append(web.dim(f"A: {evaluator.accuracy.label}"))
    if able:
        parts += [_figures(able, found), web.panels({"accuracy against step time": _plot(evaluator, able)})]
        parts += ["<h2>Candidates</h2>", web.dim(_tie_words(able)), _table(evaluator, able)]
        parts += ["<h2>The best one, section by section</h2>", _sections(evaluator.space, able[0])]
        parts += ["<h2>Its plan</h2>", web.dim(plan_words(able[0]))]
    parts += ["<h2>Left out</h2>", _left_out(found)]
    file = folder / "report.html"
    file.write_text(web.page(title, parts), encoding="utf-8")
    return file


def _asked(evaluator: Evaluator) -> str:
    exponents = f"A x S^{evaluator.time_exponent:g} x P^{evaluator.size_exponent:g}"
    return f"Reward {exponents}; {evaluator.space.size} points around {evaluator.space.base.name}."


def _figures(able: Sequence[Found], found: Sequence[Found]) -> str:
    best = able[0]
    pairs = [(str(len(found)), "networks evaluated"), (str(len(front(found))), "in the Pareto set")]
    pairs.append((f"{1 / (best.seconds_per_image or 1):,.0f}", "images/s of the best, by S as named above"))
    return web.figures([*pairs, (f"{best.parameters / 1e6:.2f} M", "its parameters")])


def _tie_words(able: Sequence[Found]) -> str:
    error = max(each.error_pct for each in able)
    return (
        f"Step times that differ by less than S's error ({error:.0f} %) can not be told apart: candidates of "
        "one class are ties in S. The Pareto set treats them so."
    )


def _table(evaluator: Evaluator, able: Sequence[Found]) -> str:
    error = max(each.error_pct for each in able)
    classes = tie_classes([each.seconds_per_image or 0.0 for each in able], error)
    kept = {each.key for each in front(able)}
    head = [
        "network",
        "reward",
        evaluator.accuracy.column,
        "images/s",
        "class of S",
        "M parameters",
        "G MACs",
    ]
    head += ["group", "norm", "px", "Pareto", "over seeds"]
    space = evaluator.space
    rows = []
    for each, kind in zip(able[:SHOWN], classes):
        is_base = space.choices(each.point) == own_choices(space.base)
        rows.append(
            _row(each, kind, each.key in kept, f"{space.base.name}'s sections" if is_base else each.key)
        )
    return web.table(head, rows, numbers=range(1, 7))


def _row(each: Found, kind: int, kept: bool, name: str) -> List[str]:
    seeds = each.seeds
    noise = f"{statistics.mean(seeds):.2f} +- {statistics.stdev(seeds):.2f}" if len(seeds) > 1 else ""
    return [
        name,
        f"{each.reward:.3f}",
        f"{each.accuracy:.2f}",
        f"{1 / (each.seconds_per_image or 1):,.0f}",
        str(kind + 1),
        f"{each.parameters / 1e6:.2f}",
        f"{each.multiply_adds / 1e9:.3f}",
        str(each.model["group_size"]),
        str(each.model["norm"]),
        str(each.point["resolution"]),
        "yes" if kept else "",
        noise,
    ]


def _plot(evaluator: Evaluator, able: Sequence[Found]) -> bytes:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    figure = Figure(figsize=(6.4, 4.2), tight_layout=True)
    axes = figure.subplots()
    kept = sorted(front(able), key=lambda each: each.seconds_per_image or 0.0)
    for group, colour, size, label in (
        (able, "#9ecae9", 18, "candidates"),
        (kept, "#d1495b", 42, "Pareto set"),
    ):
        times = [1e6 * (each.seconds_per_image or 0.0) for each in group]
        axes.scatter(times, [each.accuracy for each in group], s=size, c=colour, label=label)
    axes.set_xlabel(f"microseconds an image ({evaluator.step_time.label.partition(':')[0]})")
    axes.set_ylabel(evaluator.accuracy.column)
    axes.set_xscale("log")
    for axis in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        axis(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=120)
    return drawn.getvalue()


def _sections(space: Space, best: Found) -> str:
    columns: Dict[str, Sequence[Choice]] = {"found": space.choices(best.point)}
    for name in dict.fromkeys((space.base.name, *BESIDE)):
        own = own_choices(make_spec(name))
        columns[name] = own
    count = len(columns["found"])
    head = ["section", *columns]
    rows = [
        [str(place + 1), *(_words(own[place]) if place < len(own) else "-" for own in columns.values())]
        for place in range(count)
    ]
    return web.table(head, rows)


def _words(choice: Choice) -> str:
    kind = "Fused-MBConv" if choice.block == "fused" else "MBConv"
    return f"{choice.repeats} x {kind} {choice.kernel}x{choice.kernel}, ratio {choice.ratio:g}"


def plan_words(each: Found) -> str:
    """Return a candidate's plan in one line; that S was measured, where there is none."""
    plan: Dict[str, Any] = each.plan
    if not plan:
        return "S was measured on this machine: there is no plan."
    cuts = ", ".join(plan["splits"]) or "none"
    return (
        f"estimated {plan['images_per_s']:,.0f} images/s (expected error {each.error_pct:.0f} %): "
        f"{counted(len(plan['splits']) + 1, 'IPU')} a replica (cuts at {cuts}), {plan['replicas']} replicas, "
        f"micro-batch {plan['micro_batch']}, accumulation {plan['accumulation']}"
    )


def _left_out(found: Sequence[Found]) -> str:
    rows = [[each.key, each.reason] for each in found if each.reason]
    return web.table(["network", "why"], rows[:SHOWN]) if rows else web.dim("None.")
