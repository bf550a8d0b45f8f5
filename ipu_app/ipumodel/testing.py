"""poptorch.testing: comparison of nested results."""

from __future__ import annotations

from typing import Any

import torch


def allclose(ref: Any, other: Any) -> bool:
    """Whether structure and content match: tensors up to rounding, NaN equal to nothing; tuples and lists are
    told apart. An other structure is False, no error.
    """
    if isinstance(ref, torch.Tensor):
        return bool(torch.allclose(other, ref))
    for kind in (tuple, list):
        if isinstance(ref, kind) and (not isinstance(other, kind) or len(ref) != len(other)):
            return False
    return all(allclose(mine, theirs) for mine, theirs in zip(ref, other))
