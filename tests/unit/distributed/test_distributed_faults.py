"""An instance that ends, or sees something else, ends the whole job: soon, with a message, and completely."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator, List, Tuple

import pytest
from distributed_jobs import PROGRAMS, job_environment, launch_argv, run_to_end, skip_if_missing

LIMIT_S = 30.0
pytestmark = pytest.mark.processes


class Running:
    """A launched job of two instances that has reached its third step."""

    def __init__(self, launcher: str, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        with self.log.open("wb") as log:
            argv = launch_argv(launcher, 2, str(PROGRAMS / "steps.py"), str(folder))
            self.launch = subprocess.Popen(argv, env=job_environment(), stdout=log, stderr=log)
        self._wait_for_step(3)

    def _wait_for_step(self, step: int) -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self.launch.poll() is None:
            texts = [p.read_text("utf-8") for p in self.folder.glob("step?")]
            if len(texts) == 2 and all(text and int(text) >= step for text in texts):
                return
            time.sleep(0.1)
        self.launch.kill()
        pytest.fail(f"the job did not start: {self.log.read_text('utf-8')}")

    @property
    def instances(self) -> List[int]:
        return [int((self.folder / f"pid{rank}").read_text("utf-8")) for rank in range(2)]

    def end(self) -> Tuple[int, float, str]:
        """Wait for the end of the launch; return its exit code, the seconds it took, and all it printed."""
        start = time.monotonic()
        code = self.launch.wait(timeout=60)
        return code, time.monotonic() - start, self.log.read_text("utf-8")


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def descendants(pid: int) -> List[int]:
    found: List[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text("utf-8").split():
            found += [int(child), *descendants(int(child))]
    return found


@pytest.fixture(params=["torchrun", "horovodrun"])
def job(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Running]:
    skip_if_missing(request.param)
    running = Running(request.param, tmp_path)
    tree = descendants(running.launch.pid)
    assert set(running.instances) <= set(tree)
    yield running
    left = [pid for pid in tree if is_alive(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    running.launch.kill()
    running.launch.wait()
    assert left == [], f"processes outlived the job: {running.log.read_text('utf-8')}"


def test_a_killed_instance_ends_the_job(job: Running) -> None:
    os.kill(job.instances[1], signal.SIGKILL)
    code, seconds, log = job.end()
    assert code not in (0, 2)
    assert seconds < LIMIT_S
    assert "the job failed" in log and "every instance has been stopped" in log


def test_a_terminated_launch_takes_everything_with_it(job: Running) -> None:
    job.launch.send_signal(signal.SIGTERM)
    code, seconds, _ = job.end()
    assert code != 0
    assert seconds < LIMIT_S


def test_a_killed_launch_takes_torchrun_with_it(tmp_path: Path) -> None:
    skip_if_missing("torchrun")
    running = Running("torchrun", tmp_path)
    tree = descendants(running.launch.pid)
    running.launch.kill()
    running.launch.wait()
    deadline = time.monotonic() + LIMIT_S
    while any(map(is_alive, tree)) and time.monotonic() < deadline:
        time.sleep(0.1)
    left = [pid for pid in tree if is_alive(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []


def test_a_killed_launcher_leaves_no_instances(job: Running) -> None:
    (launcher,) = direct_children(job.launch.pid)
    os.kill(launcher, signal.SIGKILL)
    code, seconds, log = job.end()
    assert code == 128 + signal.SIGKILL
    assert seconds < LIMIT_S
    assert "the job failed" in log


def direct_children(pid: int) -> List[int]:
    texts = (task.read_text("utf-8") for task in Path(f"/proc/{pid}/task").glob("*/children"))
    return [int(child) for text in texts for child in text.split()]


@pytest.mark.parametrize("launcher", ["torchrun", "horovodrun"])
def test_an_instance_with_other_data_is_refused_at_start(launcher: str, tmp_path: Path) -> None:
    skip_if_missing(launcher)
    start = time.monotonic()
    result = run_to_end(launch_argv(launcher, 2, str(PROGRAMS / "steps.py"), str(tmp_path), "--facts-differ"))
    assert result.returncode != 0
    assert "data manifest differs from rank 0's on rank 1" in result.stdout
    assert "'999 images' instead of '1000 images'" in result.stdout
    assert not list(tmp_path.glob("step?"))
    assert time.monotonic() - start < 4 * LIMIT_S


def test_exit_codes_are_passed_on(tmp_path: Path) -> None:
    from ipu_app.distributed.process import run_job

    assert run_job([sys.executable, "-c", "raise SystemExit(0)"], os.environ) == 0
    assert run_job([sys.executable, "-c", "raise SystemExit(7)"], os.environ) == 7
    assert run_job([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], os.environ) == 137


def test_detached_grandchildren_end_with_the_launcher(tmp_path: Path) -> None:
    from ipu_app.distributed.process import run_job

    mark = tmp_path / "pid"
    sleeper = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    starter = (
        "import subprocess, sys, pathlib\n"
        f"child = subprocess.Popen([sys.executable, '-c', {sleeper!r}], start_new_session=True)\n"
        f"pathlib.Path({str(mark)!r}).write_text(str(child.pid))\n"
    )
    start = time.monotonic()
    assert run_job([sys.executable, "-c", starter], os.environ, kill_after_s=0.5) == 0
    assert time.monotonic() - start < 20
    assert not is_alive(int(mark.read_text("utf-8")))
