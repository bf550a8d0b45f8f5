"""Types of the device: what a host type becomes on it, and tensors that have shape and type only."""

from __future__ import annotations

from typing import Tuple

import torch
from torch import Tensor

from .._errors import py_error

META = torch.device("meta")
_NARROWED = {torch.int64: torch.int32, torch.float64: torch.float32}


def shape_only(shape: Tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A tensor without data; not made through torch.empty, which the trace replaces."""
    if 0 in shape:
        raise py_error(f"Zero-sized tensors are unsupported (Got shape {list(shape)}).")
    return torch.Tensor().new_empty(shape, dtype=dtype, device=META)


def device_dtype(dtype: torch.dtype) -> torch.dtype:
    """The type that the device uses for a host type: 64-bit types are narrowed; others than numbers are
    refused.
    """
    if dtype == torch.bfloat16:
        raise py_error("Unsupported tensor input type from pytorch: BFloat16; use float16 or float32")
    if dtype.is_complex:
        raise py_error(f"Unsupported input type {dtype}: the device has no complex numbers")
    return _NARROWED.get(dtype, dtype)
