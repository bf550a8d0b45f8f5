"""Pages that need no other file, no network and no script: style, figures, tables, pictures."""

from __future__ import annotations

import base64
import html
from pathlib import Path
from typing import Iterable, Mapping, Sequence, Tuple

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
img { max-width: 100%; height: auto; }
.panels { display: flex; flex-wrap: wrap; gap: .6rem; }
.panels img { flex: 1 1 19rem; min-width: 0; max-width: 32rem; }
img.narrow { width: 34rem; } table { border-collapse: collapse; }
.table { overflow-x: auto; background:
  linear-gradient(to left, #fff 40%, transparent) right / 3rem 100% no-repeat local,
  linear-gradient(to left, rgba(27, 31, 36, .3), transparent) right / .8rem 100% no-repeat scroll; }
th:first-child, td:first-child { position: sticky; left: 0; background: #fff; }
th, td { text-align: left; padding: .25rem 1.2rem .25rem 0; border-bottom: 1px solid #eceff2;
  vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
td.number { white-space: nowrap; } td:first-child, td:last-child:not(.number) { min-width: 8rem; }
pre { background: #f5f7f9; padding: .8rem; border-radius: .5rem; overflow: auto; font-size: .85rem; }
@media (max-width: 40rem) {
  body { padding: 1rem; } th, td { padding-right: .8rem; }
  td:first-child { min-width: 7.5rem; max-width: 9rem; }
  .table:not(.cards) td + td { white-space: nowrap; }
  .cards table, .cards tbody, .cards tr, .cards td { display: block; }
  .cards tr:first-child { display: none; }
  .cards tr { border: 1px solid #d5dae0; border-radius: .5rem; padding: .5rem .8rem; margin: .6rem 0; }
  .cards td { border: 0; padding: .1rem 0; max-width: none; text-align: left; white-space: normal;
    overflow-wrap: anywhere; }
  .cards td:first-child { position: static; font-weight: 600; max-width: none; }
  .cards td + td::before { content: attr(data-label) ": "; color: #59636e; }
}
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


def picture(path: Path, text: str, *, narrow: bool = False) -> str:
    """Return a PNG as part of the page, described by ``text``; nothing where there is no such file.

    ``narrow``: drawn for a phone's width, so that a wide page does not enlarge it.
    """
    if not path.is_file():
        return ""
    return _png(path.read_bytes(), text, ' class="narrow"' if narrow else "")


def panels(pictures: Mapping[str, bytes]) -> str:
    """Return PNGs (by what they show) side by side, below each other where the page is narrow."""
    drawn = "".join(_png(data, text) for text, data in pictures.items())
    return f'<div class="panels">{drawn}</div>'


def _png(data: bytes, text: str, attributes: str = "") -> str:
    coded = base64.b64encode(data).decode("ascii")
    return f'<img{attributes} alt="{html.escape(text)}" src="data:image/png;base64,{coded}">'


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: Sequence[int] = (),
    cards: bool = False,
) -> str:
    """Return a table of plain text; the columns ``numbers`` (from 0) stand right.

    Wide ones scroll under their first column, with a shadow where there is more; with ``cards`` a phone shows
    each row as a card of labelled lines instead. A cell that ends in ``: https://...`` becomes a link.
    """

    def line(cells: Sequence[str], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=number' if i in numbers else ''}{label(i) if tag == 'td' else ''}>"
            f"{_linked(cell)}</{tag}>"
            for i, cell in enumerate(cells)
        )

    def label(column: int) -> str:
        return f' data-label="{html.escape(head[column])}"' if cards else ""

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    kind = "table cards" if cards else "table"
    return f'<div class="{kind}"><table><tr>{line(head, "th")}</tr>{body}</table></div>'


def _linked(cell: str) -> str:
    text, separator, address = cell.partition(": https://")
    if not separator:
        return html.escape(cell)
    return f'<a href="{html.escape("https://" + address)}">{html.escape(text)}</a>'
