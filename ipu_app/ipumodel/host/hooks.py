"""Functions of the user's that run before and after every compilation."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Callable

from torch.utils.hooks import RemovableHandle

Hooks = "OrderedDict[int, Callable[[], Any]]"
_before: Hooks = OrderedDict()
_after: Hooks = OrderedDict()


def _register(hooks: Any, hook: Callable[[], Any]) -> RemovableHandle:
    if not callable(hook):
        raise RuntimeError("A compile hook must be callable")
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    return handle


def registerPreCompileHook(hook: Callable[[], Any]) -> RemovableHandle:
    """Call `hook()` before a model is compiled; RuntimeError if it cannot be called."""
    return _register(_before, hook)


def registerPostCompileHook(hook: Callable[[], Any]) -> RemovableHandle:
    """Call `hook()` after a model was compiled; RuntimeError if it cannot be called."""
    return _register(_after, hook)


def run_before() -> None:
    """Call the hooks for before."""
    for hook in list(_before.values()):
        hook()


def run_after() -> None:
    """Call the hooks for after."""
    for hook in list(_after.values()):
        hook()
