"""The only importer of poptorch, popdist and the simulator: one object with the names we use.

"auto" takes the SDK where it is installed and the simulator where it is absent; an SDK that is present but
broken raises, because falling back silently would hide it.
"""

from __future__ import annotations

import functools
import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Optional

CHOICES = ("auto", "sdk", "sim")


@dataclass(frozen=True)
class PopTorchApi:
    """PopTorch, real or simulated. ``kind`` is ``sdk`` or ``sim``; ``popdist`` is None outside the SDK."""

    poptorch: Any
    kind: str
    popdist: Optional[Any] = None

    def backend(self, *, ipu_model: bool, num_ipus: int = 1) -> str:
        """Return ``simulator``, ``sdk-ipumodel`` or ``hardware``; refuse hardware that is not there.

        PopTorch tells how many IPUs there are, not whether they are free. ``POPTORCH_IPU_MODEL``, by which it
        emulates them, makes it say that there are none.
        """
        if self.kind == "sim":
            return "simulator"
        if ipu_model:
            return "sdk-ipumodel"
        if not self.poptorch.ipuHardwareIsAvailable(num_ipus):
            raise ValueError(
                f"device.kind=ipu: the SDK is installed, but sees no {num_ipus} IPUs (stages x replicas of a "
                "process; with POPTORCH_IPU_MODEL set it sees none); use fewer, --ipu-model (the SDK's "
                "emulator) or --poptorch sim"
            )
        return "hardware"


def load_poptorch(choice: str = "auto") -> PopTorchApi:
    """Return PopTorch by choice: ``auto``, ``sdk`` or ``sim``."""
    if choice not in CHOICES:
        raise ValueError(f"poptorch={choice!r}: choose one of {', '.join(CHOICES)}")
    if choice != "sim":
        sdk = _load("poptorch")
        if sdk is not None:
            popdist = _load("popdist")
            if popdist is not None and popdist.isPopdistEnvSet():
                _start_popdist(popdist)
            return PopTorchApi(sdk, "sdk", popdist)
        if choice == "sdk":
            raise ValueError(
                "poptorch=sdk: PopTorch is not installed here; enable the Poplar SDK, or choose sim"
            )
    return PopTorchApi(importlib.import_module("ipu_app.ipumodel"), "sim")


@functools.lru_cache(maxsize=None)
def _start_popdist(popdist: Any) -> None:
    """Once in a process, before Horovod starts and before there are any options."""
    popdist.init()


def _load(name: str) -> Optional[ModuleType]:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return None
