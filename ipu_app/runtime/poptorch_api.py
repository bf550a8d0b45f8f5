"""The only importer of poptorch, popdist and the simulator: one object with the names we use.

"auto" takes the SDK where it is installed and the simulator where it is absent; an SDK that is present but
broken raises, because falling back silently would hide it.
"""

from __future__ import annotations

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

    def backend(self, *, ipu_model: bool) -> str:
        """Return ``simulator``, ``sdk-ipumodel`` or ``hardware``; refuse hardware that is not there."""
        if self.kind == "sim":
            return "simulator"
        if ipu_model:
            return "sdk-ipumodel"
        if not self.poptorch.ipuHardwareIsAvailable():
            raise ValueError(
                "device.kind=ipu: the SDK is installed but no IPU is free; wait for one "
                "(POPTORCH_WAIT_FOR_IPU=1), or use --ipu-model (the SDK's emulator) or --poptorch sim"
            )
        return "hardware"


def load_poptorch(choice: str = "auto") -> PopTorchApi:
    """Return PopTorch by choice: ``auto``, ``sdk`` or ``sim``."""
    if choice not in CHOICES:
        raise ValueError(f"poptorch={choice!r}: choose one of {', '.join(CHOICES)}")
    if choice != "sim":
        sdk = _load("poptorch")
        if sdk is not None:
            return PopTorchApi(sdk, "sdk", _load("popdist"))
        if choice == "sdk":
            raise ValueError(
                "poptorch=sdk: PopTorch is not installed here; enable the Poplar SDK, or choose sim"
            )
    return PopTorchApi(importlib.import_module("ipu_app.ipumodel"), "sim")


def _load(name: str) -> Optional[ModuleType]:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return None
