"""Runs on every instance: steps that each end in a sum, until told otherwise by the arguments.

usage: steps.py FOLDER [--facts-differ]; every instance leaves its process id in FOLDER, then its steps.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import torch

from ipu_app.distributed.connect import make_comm
from ipu_app.distributed.fleet import check_same
from ipu_app.distributed.world import detect_world

MANY_STEPS, STEP_S = 3000, 0.05


def main() -> int:
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    world = detect_world(os.environ)
    (folder / f"pid{world.rank}").write_text(str(os.getpid()), encoding="utf-8")
    try:
        with make_comm(world) as comm:
            differs = "--facts-differ" in sys.argv and comm.rank == 1
            check_same(comm, {"data manifest": "999 images" if differs else "1000 images"})
            for step in range(MANY_STEPS):
                comm.all_sum(1.0)
                (folder / f"step{world.rank}").write_text(str(step), encoding="utf-8")
                time.sleep(STEP_S)
    except (ValueError, ConnectionError) as error:
        print(f"instance {world.rank}: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
