"""What a user waits for before anything runs: start-up of the command line, and planning."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional

from benchmarks.measure.harness import Spread, significant, take_turns, timed
from ipu_app.environment import read_environ
from ipu_app.models.layer_table import load_layer_table
from ipu_app.models.spec import make_spec
from pipelines.cost.hardware import ipu_target
from pipelines.planner import PlanLimits, plan_pipelines
from pipelines.table_cache import cache_folder

START_UPS = ("--help", "train --help", "plan --help")
SEARCHES = {"B4 G16 LN+PN on a POD16": ("b4", 16), "B7 G16 LN+PN on a POD64": ("b7", 64)}  # model, IPUs


def measure_start_up(rounds: int) -> List[Dict[str, Any]]:
    """Wall seconds of ``python -m ipu_app ...`` from start to end."""
    turns = {f"ipu_app {words}": timed(_command(words)) for words in START_UPS}
    return _rows(take_turns(turns, rounds=rounds))


def measure_planning(rounds: int) -> List[Dict[str, Any]]:
    """Wall seconds of the search alone, and of ``ipu_app plan`` with an empty and with a filled cache."""
    environ = read_environ()
    turns = {f"search: {name}": timed(_search(*job, environ=environ)) for name, job in SEARCHES.items()}
    rows = _rows(take_turns(turns, rounds=rounds))
    with tempfile.TemporaryDirectory() as folder:
        plan = timed(_command("plan --model b4 --group 16 --ipus 16", {**environ, "XDG_CACHE_HOME": folder}))
        first = {"ipu_app plan, B4 on 16 IPUs, first call": [plan()]}
        again = {"ipu_app plan, B4 on 16 IPUs, later calls": [plan() for _ in range(rounds)]}
    return [*rows, *_rows(first), *_rows(again)]


def _rows(seconds: Mapping[str, List[float]]) -> List[Dict[str, Any]]:
    return [
        {
            "case": name,
            "kind": "measured",
            "seconds": [significant(value) for value in values],
            "spread_s": Spread.of(values).to_dict(),
        }
        for name, values in seconds.items()
    ]


def _command(words: str, environ: Optional[Mapping[str, str]] = None) -> Callable[[], Any]:
    command = [sys.executable, "-m", "ipu_app", *words.split()]
    root = Path(__file__).resolve().parents[2]
    return lambda: subprocess.run(
        command,
        cwd=root,
        env=None if environ is None else dict(environ),
        check=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
    )


def _search(model: str, num_ipus: int, *, environ: Mapping[str, str]) -> Callable[[], Any]:
    spec = make_spec(model, group_size=16, norm="ln_pn")
    layers = load_layer_table(spec, spec.native_resolution, cache=cache_folder(environ))
    target = ipu_target("mk2")
    return lambda: plan_pipelines(layers, target, PlanLimits(num_ipus=num_ipus))
