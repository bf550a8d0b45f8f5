"""The README's table of results: the claims as the committed results have them, between two markers."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Optional

from benchmarks.measure.host_facts import one_line
from benchmarks.measure.results import Results, machine_of
from benchmarks.report.table import NOT_MEASURED
from benchmarks.report.tables import bars_table

HOST = "cpu-2core"  # the machine whose results the README shows
README = Path(__file__).resolve().parents[2] / "README.md"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def readme_block(results: Results) -> str:
    """Return markers and what stands between them: where it was measured, and a row per claim."""
    machines: Dict[str, List[str]] = {}
    for name in results["suites"]:
        machines.setdefault(one_line(machine_of(results, name)), []).append(name)
    where = "; ".join(
        line if len(machines) == 1 else f"{', '.join(names)} on {line}" for line, names in machines.items()
    )
    where += "; median and quartiles of the rounds"
    lines = [f"Measured on {where}:", "", "| claim | met | found | goal | command |", "|---|---|---|---|---|"]
    for claim, met, found, goal, _, command in bars_table(results).rows:
        if (found, goal) == (NOT_MEASURED, "-"):
            continue  # a comparison without a goal, in a suite that was not run
        lines.append(f"| {claim} | {met} | {found} | {goal} | `{command}` |")
    return "\n".join([BEGIN, *lines, END])


def with_block(text: str, block: str) -> str:
    """Return a text with ``block`` in place of what its markers hold; refuses one without markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"README: must hold the markers {BEGIN} and {END}")
    return before + block + after


def refresh_readme(results: Results, path: Optional[Path] = None) -> None:
    """Bring the README up to date with the results, if it is not."""
    path = path or README
    text = path.read_text(encoding="utf-8")
    fresh = with_block(text, readme_block(results))
    if fresh != text:
        path.write_text(fresh, encoding="utf-8")
