"""Real processes for the tests of this folder."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Sequence

import pytest

ROOT = Path(__file__).parents[3]
PROGRAMS = Path(__file__).parent / "programs"
JOB_TIMEOUT_S = 150


def launch_argv(launcher: str, instances: int, *command: str) -> List[str]:
    options = ["--launcher", launcher, "--instances", str(instances), "--"]
    return [sys.executable, "-m", "ipu_app", "launch", *options, *command]


def job_environment() -> Dict[str, str]:
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("POPDIST_", "OMPI_"))
    }
    paths = [str(ROOT), *filter(None, [environ.get("PYTHONPATH")])]
    return {**environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}


def run_to_end(argv: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            argv,
            env=job_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            universal_newlines=True,
            timeout=JOB_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        pytest.fail(f"the job did not end within {JOB_TIMEOUT_S} s: {late.output!r}")


def skip_if_missing(launcher: str) -> None:
    """Skip where a launcher is not installed, or is known not to run."""
    if launcher == "horovodrun" and importlib.util.find_spec("horovod") is None:
        pytest.skip("horovod is not installed here: its lane runs this")
    if launcher == "torchrun" and not torchrun_works():
        pytest.skip("this torch is older than this Python: its torchrun cannot start processes")


def torchrun_works() -> bool:
    """Try the step at which torchrun of torch 1.13 fails on Python 3.11 (its flags skip their zero there)."""
    from torch.distributed.elastic.multiprocessing.api import Std

    return Std.from_str("0") is not None
