"""Standard output that is closed, full or of few letters ends nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCTOR = f"{sys.executable} -m ipu_app plan --constants"


@pytest.mark.processes
@pytest.mark.parametrize("where", [">&-", ">/dev/full", ">&- 2>&-"])
def test_output_that_goes_nowhere(where: str) -> None:
    done = subprocess.run(["bash", "-c", f"{DOCTOR} {where}"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.processes
def test_letters_that_the_terminal_does_not_know(tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONIOENCODING": "ascii"}
    words = [sys.executable, "-m", "ipu_app", "predict", os.fsencode(tmp_path) + b"/gr\xc3\xb6\xdfe", "a.jpg"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, env=environ)
    assert done.returncode == 2 and done.stderr.startswith(b"ipu_app: error: run=")
    assert b"Traceback" not in done.stderr and done.stderr.count(b"\n") == 1
