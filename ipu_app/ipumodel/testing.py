"""poptorch.testing: comparison of nested results."""

from __future__ import annotations

from typing import Any

import torch


def allclose(ref: Any, other: Any) -> bool:
    """Whether two nested structures of tensors are equal up to rounding; AssertionError for other
    structures."""
    if isinstance(ref, torch.Tensor):
        assert isinstance(other, torch.Tensor), f"A tensor was expected, got {type(other)}"
        return bool(torch.allclose(ref, other.to(ref.dtype), equal_nan=True))
    if isinstance(ref, (list, tuple)):
        assert isinstance(other, type(ref)) and len(ref) == len(other), (
            f"{type(ref)} of {len(ref)} was expected"
        )
        return all(allclose(mine, theirs) for mine, theirs in zip(ref, other))
    if isinstance(ref, dict):
        assert isinstance(other, dict) and ref.keys() == other.keys(), f"Keys {sorted(ref)} were expected"
        return all(allclose(value, other[key]) for key, value in ref.items())
    return bool(ref == other)
