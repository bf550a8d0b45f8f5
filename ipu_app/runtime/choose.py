"""Which device ``auto`` means on this machine, and why."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ipu_app.runtime.poptorch_api import load_poptorch


@dataclass(frozen=True)
class DeviceChoice:
    """``kind`` is ipu, cuda or cpu; ``reason`` says why, in words for the user."""

    kind: str
    reason: str


def choose_device(requested: str, poptorch_choice: str = "auto") -> DeviceChoice:
    """Return the device to use; ``auto`` takes IPU hardware, else CUDA, else CPU."""
    if requested == "ipu":
        load_poptorch(poptorch_choice)  # before anything that has to come after PopDist's start
        return DeviceChoice("ipu", "asked for")
    if requested == "cpu":
        return DeviceChoice("cpu", "asked for")
    if requested == "cuda":
        if not torch.cuda.is_available():
            raise ValueError("device.kind='cuda': torch sees no CUDA device here; choose cpu, ipu or auto")
        return DeviceChoice("cuda", "asked for")
    if poptorch_choice != "sim":
        api = load_poptorch("auto")
        if api.kind == "sdk" and api.poptorch.ipuHardwareIsAvailable():
            return DeviceChoice("ipu", "PopTorch is installed and there are IPUs")
    if torch.cuda.is_available():
        return DeviceChoice("cuda", f"no IPU here, but {torch.cuda.get_device_name()}")
    return DeviceChoice(
        "cpu", "neither an IPU nor a CUDA device here; --device ipu trains on the simulated IPU"
    )
