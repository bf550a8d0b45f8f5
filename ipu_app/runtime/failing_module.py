"""Which part of a network an error came from, read off its traceback: PopTorch's errors do not always say."""

from __future__ import annotations

from typing import Dict, Optional

from torch import nn


def failing_module(error: BaseException, model: nn.Module) -> Optional[str]:
    """Return the dotted name of the innermost module whose code was running, None outside of the model.

    The error's causes are looked through first: they lie nearer to where it went wrong.
    """
    names: Dict[int, str] = {id(module): name for name, module in model.named_modules()}
    seen = set()
    found: Optional[str] = None
    current: Optional[BaseException] = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        found = _innermost(current, names) or found
        current = current.__cause__ or current.__context__
    return found


def _innermost(error: BaseException, names: Dict[int, str]) -> Optional[str]:
    found = None
    trace = error.__traceback__
    while trace is not None:
        owner = trace.tb_frame.f_locals.get("self")
        if isinstance(owner, nn.Module):
            found = names.get(id(owner)) or found
        trace = trace.tb_next
    return found


def one_line(error: BaseException) -> str:
    """Return what an error says in one line, with its type where that is not PopTorch's own."""
    said = " ".join(str(error).split())
    kind = type(error).__name__
    return said if kind == "Error" and said else f"{kind}: {said}" if said else kind
