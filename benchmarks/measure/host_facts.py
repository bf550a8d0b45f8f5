"""What a measurement was taken on: processor, accelerator, versions, and how busy it was."""

from __future__ import annotations

import contextlib
import datetime
import importlib
import os
import platform
import re
from pathlib import Path
from typing import Any, Dict, Mapping, Sequence

from ipu_app.environment import usable_cores

PACKAGES = ("torch", "torchvision", "timm", "numpy", "PIL", "simplejpeg", "cv2")


def describe_machine(device: str = "cpu", packages: Sequence[str] = PACKAGES) -> Dict[str, Any]:
    """Return processor or GPU, usable cores, memory (GB), load average, versions and date."""
    described = {
        "cpu": _cpu_name(),
        "cores": usable_cores(),
        "memory_gb": _memory_gb(),
        "system": f"{platform.system()} {platform.machine()}",
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "date": datetime.date.today().isoformat(),
        "versions": {"python": platform.python_version(), **_versions(packages)},
    }
    if device == "cuda":
        import torch

        described["gpu"] = torch.cuda.get_device_name()
        described["versions"]["cuda"] = torch.version.cuda
    return described


def host_kind(machine: Mapping[str, Any]) -> str:
    """Return what results of machines of this kind are filed under: ``cpu-2core``, ``h100``, ``h200``."""
    gpu = machine.get("gpu")
    if gpu is None:
        return f"cpu-{machine['cores']}core"
    name = re.search(r"\b([A-Z]{1,3}\d{2,4}[A-Z]?)\b", gpu)
    return (name.group(1) if name else re.sub(r"\W+", "-", gpu)).lower()


def one_line(machine: Mapping[str, Any]) -> str:
    """Return the machine in words."""
    where = machine.get("gpu") or f"{machine['cores']} cores of {machine['cpu']}"
    return f"{where}, torch {machine['versions'].get('torch', '?')}, {machine['date']}"


def _versions(packages: Sequence[str]) -> Dict[str, str]:
    found = {}
    for name in packages:
        with contextlib.suppress(ModuleNotFoundError):  # timm, for one, needs torchvision
            found[name] = importlib.import_module(name).__version__
    return found


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _memory_gb() -> int:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9)
    except (OSError, ValueError):
        return 0
