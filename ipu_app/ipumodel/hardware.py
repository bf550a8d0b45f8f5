"""Questions about the machine's IPUs. The simulator has none: it is no hardware, and no emulator of the
vendor."""

from __future__ import annotations

from . import environment


def ipuHardwareIsAvailable(num_ipus: int = 1) -> bool:
    """Whether that many IPUs can be had: never, in the simulator."""
    return False


def ipuHardwareVersion() -> int:
    """The architecture of the IPUs in this machine; AssertionError when there are none."""
    assert ipuHardwareIsAvailable(), "Trying to get the version of IPU hardware, but there is none"
    return 0


def uses_ipu_model(use_model: bool = False) -> bool:
    """Whether the options or the environment ask for the emulated device."""
    return use_model or environment.ipu_model_requested()
