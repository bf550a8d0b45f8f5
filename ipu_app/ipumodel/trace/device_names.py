"""The device by its name: in a trace ``ipu`` is where shape-only tensors live, and they say so.

PopTorch's tensors report ``ipu:0`` as their device, and ``device="ipu"`` puts a tensor there.
"""

from __future__ import annotations

from typing import Any, Dict, Tuple

import torch

from .types import META

IPU = torch.device("ipu", 0)
#: attributes of a tensor that say where it lives, and what they say of one on the device
ATTRIBUTES: Dict[str, Any] = {"device": IPU, "is_ipu": True, "is_meta": False, "is_cpu": False}


def is_ipu(item: Any) -> bool:
    """Whether an argument names the device: ``torch.device("ipu", ...)``, "ipu" or "ipu:0"."""
    if isinstance(item, torch.device):
        return item.type == "ipu"
    return isinstance(item, str) and item in ("ipu", "ipu:0")


def translated(
    name: str, args: Tuple[Any, ...], kwargs: Dict[str, Any]
) -> Tuple[Tuple[Any, ...], Dict[str, Any]]:
    """Arguments of a torch function with the shape-only device in the place of the IPU."""
    if any(isinstance(item, torch.device) for item in args) or name == "to":
        args = tuple(META if is_ipu(item) else item for item in args)
    if is_ipu(kwargs.get("device")):
        kwargs = {**kwargs, "device": META}
    return args, kwargs
