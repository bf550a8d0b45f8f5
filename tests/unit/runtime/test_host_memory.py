"""Freed memory stays with the process, so that the next step does not fault it in again."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import torch
from ipu_app.runtime.host_memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
for turn in range(30):
    if turn == 20:  # the heap has found its size
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(16 << 20)  # 64 MiB
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how: str) -> int:
    command = [sys.executable, "-c", PROGRAM, how]
    # huge pages, which the Makefile asks for, are counted as one fault each
    environ = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environ)
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc only")
def test_kept_memory_is_not_faulted_in_again() -> None:
    usual, kept = page_faults("usual"), page_faults("keep")
    assert usual > 10 * 1000  # 16384 pages of 4 KiB a turn
    assert kept < usual / 50
