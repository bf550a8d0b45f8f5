"""The first notice lets a call end, the second ends at once; a dead process is in the way of nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import List

import pytest

from ipu_app.errors import RunStopped
from ipu_app.runs.lock import locked
from ipu_app.runs.signals import Signals

# in a call (1), or between calls (0), it tells that it began, and waits
WAITING = """
import sys, time
from ipu_app.errors import RunStopped
from ipu_app.runs import signals
signals.PATIENCE_S = float(sys.argv[2])
with signals.Signals() as heard:
    try:
        if sys.argv[1] == "1":
            with heard.deferred():
                print("ready", flush=True)
                end = time.monotonic() + 3
                while time.monotonic() < end:
                    time.sleep(0.05)
                print("call ended", heard.signal, flush=True)
        else:
            print("ready", flush=True)
            time.sleep(20)
    except RunStopped as stopped:
        print("stopped", stopped.code, flush=True)
"""
LOCKING = """
import sys, time
from pathlib import Path
from ipu_app.runs.lock import locked
with locked(Path(sys.argv[1]), print):
    print("locked", flush=True)
    time.sleep(60)
"""


def start(program: str, *words: str) -> "subprocess.Popen[str]":
    child = subprocess.Popen(
        [sys.executable, "-c", program, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline().strip() in ("ready", "locked")
    return child


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGUSR1, 143)])
def test_between_calls_a_notice_ends_the_run(number: signal.Signals, code: int) -> None:
    with Signals(), pytest.raises(RunStopped) as stopped:
        signal.raise_signal(number)
        time.sleep(1)
    assert stopped.value.code == code


def test_handlers_are_given_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Signals() as heard:
        with heard.deferred():
            signal.raise_signal(signal.SIGTERM)
        assert heard.signal == signal.SIGTERM and heard.wait(0)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_call_ends_first_and_a_second_signal_ends_at_once() -> None:
    one, two = start(WAITING, "1", "60"), start(WAITING, "1", "60")
    for child in (one, two):
        child.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    began = time.monotonic()
    two.send_signal(signal.SIGTERM)
    _, said = two.communicate(timeout=20)
    assert two.returncode == 143 and time.monotonic() - began < 1.5
    assert said.startswith("ipu_app: stopped by SIGTERM: a second signal") and said.count("\n") == 1
    out, said = one.communicate(timeout=20)
    assert one.returncode == 0 and f"call ended {int(signal.SIGTERM)}" in out and said == ""


def test_a_call_that_takes_too_long_is_given_up() -> None:
    child = start(WAITING, "1", "0.5")
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=20)
    assert child.returncode == 130 and "did not end within" in said and said.count("\n") == 1


def test_a_second_process_is_refused_and_a_killed_one_is_not_in_the_way(tmp_path: Path) -> None:
    said: List[str] = []
    child = start(LOCKING, str(tmp_path))
    refused = pytest.raises(ValueError, match=f"process {child.pid} on .* is training it")
    with refused, locked(tmp_path, said.append):
        pass
    child.kill()
    child.communicate()
    with locked(tmp_path, said.append):
        assert str(os.getpid()) in (tmp_path / ".lock").read_text()
    assert said == []
