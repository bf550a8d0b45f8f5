"""The results of one kind of machine: a JSON file, a section per suite, each with machine and command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

FOLDER = Path(__file__).resolve().parents[1] / "results"
FIRST_GPUS = ("h100", "h200")  # whose figures are shown where several GPUs were measured

Results = Dict[str, Any]  # {"host": ..., "suites": {name: {"machine", "command", "seconds", "rows"}}}


def results_path(host: str, folder: Path = FOLDER) -> Path:
    """Return the file of one kind of machine."""
    return folder / f"{host}.json"


def read_results(path: Path) -> Optional[Results]:
    """Return a file's results, None where there is none."""
    if not path.is_file():
        return None
    found: Results = json.loads(path.read_text(encoding="utf-8"))
    return found


def machine_of(results: Results, suite: str = "") -> Mapping[str, Any]:
    """Return the machine of a suite, or of the last one; nothing where it was not run."""
    suites = results["suites"]
    section = suites.get(suite) or (list(suites.values()) or [{}])[-1]
    machine: Mapping[str, Any] = section.get("machine", {})
    return machine


def gpu_results(folder: Path = FOLDER) -> Optional[Results]:
    """Return the results of a GPU that was measured, None where none was."""
    hosts = [*FIRST_GPUS, *sorted(path.stem for path in folder.glob("*.json"))]
    for host in hosts:
        found = read_results(results_path(host, folder))
        if found is not None and "gpu" in machine_of({"suites": {}, **found}):
            return found
    return None


def add_suite(path: Path, host: str, name: str, section: Mapping[str, Any]) -> Results:
    """Put one suite's section in the place of its last one, and leave the others as they are."""
    results = read_results(path) or {"host": host, "suites": {}}
    results["suites"][name] = dict(section)
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_suffix(".json.new")
    written.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    written.replace(path)
    return results


def rows_of(results: Optional[Results], suite: str) -> List[Dict[str, Any]]:
    """Return a suite's rows, none where it was not run."""
    if results is None or suite not in results["suites"]:
        return []
    rows: List[Dict[str, Any]] = results["suites"][suite]["rows"]
    return rows
