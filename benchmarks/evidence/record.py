"""One record of everything: settings, machine, versions, every raw value, and what is said of them."""

from __future__ import annotations

import json
import re
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence

import torch

from benchmarks.evidence.jobs import Job, Row, run_jobs
from benchmarks.evidence.parts import PARTS
from benchmarks.evidence.settings import Settings
from benchmarks.evidence.timing import time_steps
from benchmarks.measure.host_facts import describe_machine
from ipu_app.data.datasets import open_source

Progress = Callable[[str], None]
_COMMAND = "python -m benchmarks.evidence"


def make_record(
    parts: Sequence[str], settings: Settings, *, workers: int, progress: Progress
) -> Dict[str, Any]:
    """Time the steps with nothing else running, then do all jobs; return the record."""
    machine = describe_machine(packages=("torch", "numpy"))  # before anything here makes it busy
    started, threads = time.perf_counter(), torch.get_num_threads()
    try:
        timings = {name: _time_part(name, settings, progress) for name in parts}
        jobs: List[Job] = [job for name in parts for job in PARTS[name].jobs(settings)]
        torch.set_num_threads(1)
        rows = run_jobs(jobs, workers, progress)
    finally:
        torch.set_num_threads(threads)
    return {
        "kind": "measured",
        "command": _COMMAND,
        "wall_s": round(time.perf_counter() - started, 1),
        "workers": workers,
        "machine": machine,
        "data": data(),
        "settings": asdict(settings),
        "parts": {name: _part_record(name, rows, timings[name], settings) for name in parts},
    }


def _time_part(name: str, settings: Settings, progress: Progress) -> Dict[str, Any]:
    steps = PARTS[name].steps(settings)
    if not steps:
        return {}
    progress(f"timing the steps of {name}")
    record: Dict[str, Any] = PARTS[name].timing_record(time_steps(steps, settings.timing_rounds), settings)
    return record


def _part_record(
    name: str, rows: Sequence[Row], timing: Dict[str, Any], settings: Settings
) -> Dict[str, Any]:
    part, own = PARTS[name], rounded([row for row in rows if row["part"] == name])
    timing = rounded(timing)
    return {
        "sentences": part.sentences(own, timing, settings),
        "about": part.about(settings),
        "summary": rounded(part.summary(own, timing, settings)),
        "cpu_s": round(sum(row["cpu_s"] for row in own), 1),
        "timing": timing,
        "rows": own,
    }


def data() -> Dict[str, str]:
    """Return which images these are, and their hash."""
    source = open_source(None, "train", 32)
    return {"kind": source.kind, "manifest": source.manifest_hash[:12]}


def write_results(record: Dict[str, Any], settings: Settings, folder: Path) -> None:
    """Write the record as JSON, the page and the pictures."""
    from benchmarks.evidence.page_text import to_markdown
    from benchmarks.evidence.pictures import draw

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "evidence.json").write_text(to_json(record), encoding="utf-8")
    (folder / "evidence.md").write_text(to_markdown(record, settings), encoding="utf-8")
    for name, part in record["parts"].items():
        draw(name, part, settings, folder / f"evidence_{name}.png")


def to_json(record: Dict[str, Any]) -> str:
    """Return the record as JSON text, lists and objects without further ones inside on one line."""
    text = json.dumps(record, indent=1)
    leaves = re.compile(r"([\[{])\s+([^\[\]{}]*?)\s+([\]}])")
    return leaves.sub(lambda m: m[1] + re.sub(r"\n\s*", " ", m[2]) + m[3], text) + "\n"


def rounded(value: Any) -> Any:
    """Return plain data with floats of six significant digits, which is more than they are good for."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item) for item in value]
    return value
