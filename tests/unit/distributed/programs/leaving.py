"""Runs on every instance: joins and leaves the process group again and again, on a fresh port each time."""

from __future__ import annotations

import dataclasses
import os
import socket
import sys
import time
from pathlib import Path

from ipu_app.distributed.connect import make_comm
from ipu_app.distributed.world import detect_world

TIMES, LIMIT_S = 20, 60.0


def main() -> None:
    folder = Path(sys.argv[1])
    world = detect_world(os.environ)
    for index in range(TIMES):
        port = agree_on_port(folder / f"port{index}", world.rank)
        with make_comm(dataclasses.replace(world, master_port=port), timeout_s=LIMIT_S) as comm:
            comm.all_sum(1.0)
    print(f"left {TIMES} times")


def agree_on_port(file: Path, rank: int) -> int:
    if rank == 0:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        file.with_suffix(".new").write_text(str(port), encoding="utf-8")
        file.with_suffix(".new").rename(file)
    while not file.exists():
        time.sleep(0.01)
    return int(file.read_text("utf-8"))


if __name__ == "__main__":
    main()
