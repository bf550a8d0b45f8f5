"""What the pictures of the benchmarks have in common."""

from __future__ import annotations

from typing import Any


def style_panel(axes: Any, title: str, *, log: str, ticks: str) -> None:
    """Give a panel its title, a grid, and a logarithmic axis (``log``: x or y) with tick labels at 1, 2, 5.

    ``ticks`` is their format.
    """
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axes.set(**{f"{log}scale": "log"})
    axis = getattr(axes, f"{log}axis")
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(StrMethodFormatter(ticks))
    axis.set_minor_formatter(NullFormatter())
    axes.set_title(title, fontsize=11)
    axes.grid(alpha=0.25, which="both")
    axes.spines[["top", "right"]].set_visible(False)
