"""Where a run takes place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping

from ipu_app.distributed.comm import Comm


@dataclass(frozen=True)
class Place:
    """The kind of device, the processes of the job, the environment."""

    device: str
    comm: Comm
    environ: Mapping[str, str]
