"""The only file that asks which torch this is; everything else is written for torch 1.13 on Python 3.8."""

from __future__ import annotations

from typing import Any, ContextManager, Tuple

import torch


def torch_version() -> Tuple[int, int]:
    """Return torch's (major, minor)."""
    major, minor = torch.__version__.split(".")[:2]
    return int(major), int(minor)


def compile_module(module: torch.nn.Module, **options: Any) -> torch.nn.Module:
    """Return ``torch.compile(module)``; refuse where this torch has no compiler (before 2.0)."""
    compiler = getattr(torch, "compile", None)
    if compiler is None:
        raise ValueError(f"device.compile=true: needs torch 2.0 or newer, this is {torch.__version__}")
    compiled: torch.nn.Module = compiler(module, **options)
    return compiled


def autocast(device_type: str, dtype: torch.dtype, enabled: bool) -> ContextManager[None]:
    """Return the autocast context of a device type; the constructor is the same from torch 1.10 on."""
    context: ContextManager[None] = torch.autocast(device_type=device_type, dtype=dtype, enabled=enabled)
    return context


def fused_available(device_type: str) -> bool:
    """Tell whether torch's own optimisers have a fused kernel for this device type."""
    return device_type == "cuda" and torch_version() >= (2, 0)
