"""Pages that need no other file, no network and no script: style, figures, tables, pictures."""

from __future__ import annotations

import base64
import html
from pathlib import Path
from typing import Iterable, Sequence, Tuple

_STYLE = """
body { font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; margin: 0 auto; max-width: 72rem; padding: 1.5rem;
  color: #1b1f24; background: #fff; }
h1 { font-size: 1.5rem; margin: 0 0 .2rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2rem 0 .6rem; border-bottom: 1px solid #d5dae0; padding-bottom: .2rem; }
p { margin: .2rem 0; } .dim { color: #59636e; overflow-wrap: anywhere; }
.figures { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.2rem 0; }
.figure { border: 1px solid #d5dae0; border-radius: .5rem; padding: .6rem .9rem; min-width: 8rem;
  max-width: 16rem; }
.figure b { display: block; font-size: 1.4rem; } .figure span { color: #59636e; font-size: .85rem; }
img { max-width: 100%; height: auto; } .table { overflow-x: auto; } table { border-collapse: collapse; }
th, td { text-align: left; padding: .25rem 1.2rem .25rem 0; border-bottom: 1px solid #eceff2;
  vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
td.number { white-space: nowrap; } td:first-child, td:last-child { min-width: 8rem; }
pre { background: #f5f7f9; padding: .8rem; border-radius: .5rem; overflow: auto; font-size: .85rem; }
"""


def page(title: str, parts: Iterable[str]) -> str:
    """Return a page of parts that are HTML already, empty ones left out; ``title`` is plain text."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body></html>\n"
    )


def dim(text: str) -> str:
    """Return a quiet paragraph of plain text."""
    return f'<p class="dim">{html.escape(text)}</p>'


def figures(pairs: Iterable[Tuple[str, str]]) -> str:
    """Return boxes of a large value with small words under it."""
    boxes = (
        f'<div class="figure"><b>{html.escape(value)}</b><span>{html.escape(what)}</span></div>'
        for value, what in pairs
    )
    return f'<div class="figures">{"".join(boxes)}</div>'


def picture(path: Path, text: str) -> str:
    """Return a PNG as part of the page, described by ``text``; nothing where there is no such file."""
    if not path.is_file():
        return ""
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f'<img alt="{html.escape(text)}" src="data:image/png;base64,{data}">'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[int] = ()) -> str:
    """Return a table of plain text; the columns ``numbers`` (from 0) stand right. Wide ones scroll."""

    def line(cells: Sequence[str], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=number' if i in numbers else ''}>{html.escape(cell)}</{tag}>"
            for i, cell in enumerate(cells)
        )

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f'<div class="table"><table><tr>{line(head, "th")}</tr>{body}</table></div>'
