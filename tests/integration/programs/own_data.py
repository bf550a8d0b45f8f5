"""Runs on every instance of a job: ``train`` on the CPU, with a data folder that each rank has for itself.

usage: own_data.py FOLDER_WITH_RANK [train's arguments]; "RANK" in the folder's name becomes the rank.
"""

from __future__ import annotations

import os
import sys

from ipu_app.__main__ import main
from ipu_app.distributed.world import detect_world

if __name__ == "__main__":
    folder = sys.argv[1].replace("RANK", str(detect_world(os.environ).rank))
    sys.exit(main(["train", "--device", "cpu", "--data", folder, *sys.argv[2:]]))
