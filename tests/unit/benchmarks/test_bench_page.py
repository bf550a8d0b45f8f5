"""The report on a phone and the README's table, from the results in the repository."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Dict

import pytest

from benchmarks.measure.results import read_results, results_path
from benchmarks.report.page import write_report
from benchmarks.report.readme import BEGIN, END, HOST, README, readme_block, refresh_readme, with_block

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PHONE, DESKTOP = 390, 1300
# what a reader has in sight without scrolling sideways; written into the page for the browser to tell
PROBE = """<script>addEventListener("load", () => {
  const box = element => element.getBoundingClientRect(), all = what => [...document.querySelectorAll(what)];
  const text = cells => cells.every(cell => box(cell).right <= innerWidth && box(cell).width > 0);
  const scrolled = all(".table:not(.cards)");
  scrolled.forEach(each => { each.scrollLeft = 200; });
  parent.postMessage(JSON.stringify({
    width: innerWidth, page: document.documentElement.scrollWidth,
    claims: all(".cards tr").length - 1, cards: text(all(".cards td")),
    wide: scrolled.filter(each => each.scrollWidth > each.clientWidth).length,
    sticky: scrolled.every(each => [...each.querySelectorAll("td:first-child")].every(
      cell => Math.abs(box(cell).left - box(each).left) < 2)),
    tallest: Math.max(...all("td:last-child.number").map(cell => box(cell.parentNode).height)),
    pictures: all("img").map(each => each.clientWidth / each.naturalWidth),
  }), "*");
});</script></body>"""
FRAME = """<!doctype html><body><iframe src="page.html" style="width: {width}px; height: 800px"></iframe>
<script>
addEventListener("message", event => {{ document.body.innerHTML = "<pre>" + event.data + "</pre>"; }});
</script></body>"""


def seen_at(width: int, report: Path, folder: Path) -> Dict[str, Any]:
    """Let a browser lay the report out in a frame of this width, and tell what is where."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip("no Chromium is installed")
    page = report.read_text(encoding="utf-8")
    assert "</body>" in page
    (folder / "page.html").write_text(page.replace("</body>", PROBE), encoding="utf-8")
    frame = folder / "frame.html"
    frame.write_text(FRAME.format(width=width), encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    flags += ["--disable-dev-shm-usage", "--virtual-time-budget=5000", "--window-size=1400,900"]
    command = [browser, *flags, f"--user-data-dir={folder / 'profile'}", "--dump-dom", frame.as_uri()]
    done = subprocess.run(command, check=True, capture_output=True, timeout=120)
    (told,) = re.findall("<pre>(.*?)</pre>", done.stdout.decode("utf-8"))
    seen: Dict[str, Any] = json.loads(html.unescape(told))
    return seen


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = read_results(results_path(HOST))
    assert results is not None
    return write_report(results, tmp_path_factory.mktemp("report"))


@pytest.mark.processes
def test_a_phone_shows_every_verdict_without_scrolling(report: Path, tmp_path: Path) -> None:
    seen = seen_at(PHONE, report, tmp_path)
    assert seen["width"] == PHONE and seen["page"] <= PHONE, "the page itself does not scroll sideways"
    assert seen["claims"] > 10 and seen["cards"], "no cell of the claims lies outside"
    assert seen["wide"] and seen["sticky"], "tables that scroll keep their first column in sight"
    # the pictures' text is 20 pixels high at their natural size
    assert seen["pictures"] and all(20 * scale >= 8 for scale in seen["pictures"])


@pytest.mark.processes
def test_a_wide_page_shows_the_networks_whole(report: Path, tmp_path: Path) -> None:
    seen = seen_at(DESKTOP, report, tmp_path)
    assert seen["page"] <= DESKTOP and seen["tallest"] < 60, "no row of figures takes three lines"


def test_the_readme_has_the_claims_as_they_were_measured() -> None:
    results = read_results(results_path(HOST))
    assert results is not None
    assert readme_block(results) in README.read_text(encoding="utf-8"), (
        "run: python -m benchmarks --report-only"
    )


def test_a_report_refreshes_the_readme_and_nothing_else_of_it(tmp_path: Path) -> None:
    results = read_results(results_path(HOST))
    assert results is not None
    path = tmp_path / "README.md"
    path.write_text(f"before\n{BEGIN}\nstale words\n{END}\nafter\n", encoding="utf-8")
    refresh_readme(results, path)
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{BEGIN}\nMeasured on ") and text.endswith(f"{END}\nafter\n")
    assert "stale words" not in text and "| `make bench SUITE=bars` |" in text
    with pytest.raises(ValueError, match="must hold the markers"):
        with_block("no markers", "block")
