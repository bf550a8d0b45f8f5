"""A job that can not begin, or that has lost a process, says so in one line on every rank, within seconds."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from typing import Iterator, List, Tuple

import pytest
from distributed_jobs import PROGRAMS, job_environment

from ipu_app.distributed import meeting
from ipu_app.distributed.world import World

CONNECT = """
import os, sys
from ipu_app.__main__ import main
from ipu_app.distributed import connect, meeting
meeting.ANSWER_S = 3.0
try:
    connect.make_comm(__import__("ipu_app.distributed.world", fromlist=["x"]).detect_world(os.environ))
except (ValueError, ConnectionError) as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


@pytest.fixture
def used_port() -> Iterator[int]:
    """A port at which something listens that never answers."""
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen(8)
        yield listener.getsockname()[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start(rank: int, port: int, *words: str) -> "subprocess.Popen[str]":
    own = {"RANK": rank, "WORLD_SIZE": 2, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
    environ = {
        **job_environment(),
        "MASTER_ADDR": "127.0.0.1",
        **{name: str(value) for name, value in own.items()},
    }
    return subprocess.Popen(
        [sys.executable, *words],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )


def both(port: int, *words: str) -> List[Tuple[int, str]]:
    ranks = [start(rank, port, *words) for rank in range(2)]
    ended = [(rank.communicate(timeout=90)[1], rank.returncode) for rank in ranks]
    return [(code, said) for said, code in ended]


@pytest.mark.processes
def test_a_port_of_another_program_is_named_on_every_rank(used_port: int) -> None:
    for code, said in both(used_port, "-c", CONNECT):
        assert code == 1 and f"MASTER_PORT={used_port}" in said and "Traceback" not in said


@pytest.mark.processes
def test_a_killed_rank_ends_one_that_is_busy_by_itself() -> None:
    began = time.monotonic()
    (code, said), _ = both(free_port(), str(PROGRAMS / "ends_while_the_other_is_busy.py"))
    assert code == 1 and time.monotonic() - began < 50
    assert (
        said.strip().splitlines()[-1] == "ipu_app: error: rank 0 of 2: rank 1 has ended, and the job with it"
    )


def test_nobody_there_is_named() -> None:
    world = World("torchrun", 1, 2, 1, 2, master_addr="127.0.0.1", master_port=free_port())
    with pytest.raises(ConnectionError, match="rank 0 is not at MASTER_ADDR=127.0.0.1, MASTER_PORT="):
        meeting.meet(world, arrive_s=0.3)


def test_a_rank_that_never_comes_is_named() -> None:
    world = World("torchrun", 0, 2, 0, 2, master_addr="127.0.0.1", master_port=free_port())
    with pytest.raises(ConnectionError, match="ranks 1 did not come"):
        meeting.meet(world, arrive_s=0.3)
