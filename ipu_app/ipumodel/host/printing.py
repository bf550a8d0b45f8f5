"""Modules in print with the blocks that begin at them."""

from __future__ import annotations

import builtins
from typing import Any

from torch import nn


def module_repr(m: nn.Module) -> str:
    """A module as PyTorch prints it, with forward pre-hooks (the beginnings of blocks) before the names."""
    items = m.extra_repr().split("\n") if m.extra_repr() else []
    is_short = len(items) == 1 and not m._modules
    for name, child in m._modules.items():
        text = module_repr(child) if child is not None else "None"  # type: ignore[redundant-expr]
        items.append(f"({name}): " + text.replace("\n", "\n  "))
    hooks = "".join(f"{hook!r} " for hook in m._forward_pre_hooks.values())
    name = m._get_name()
    if is_short or not items:
        return f"{hooks}{name}({''.join(items)})"
    return f"{hooks}{name}(\n  " + "\n  ".join(items) + "\n)"


def print(m: Any) -> None:
    """Print a module with the blocks that begin at its parts and then as PyTorch does, anything else once."""
    if isinstance(m, nn.Module):
        builtins.print(module_repr(m))
    builtins.print(m)
