"""Blocks: which part of a model belongs to which pipeline stage and IPU. Outside of a trace they do
nothing.
"""

from __future__ import annotations

import functools
from typing import Any, Callable, Optional

from torch import nn

from ._errors import py_error
from .trace import context


def _check_ids(user_id: Any, ipu_id: Any) -> None:
    is_text = isinstance(user_id, str)
    is_number = isinstance(user_id, int) and not isinstance(user_id, bool) and user_id >= 0
    assert user_id is None or is_text or is_number, f"user_id={user_id!r}: a string or a non-negative int"
    is_ipu = isinstance(ipu_id, int) and not isinstance(ipu_id, bool) and ipu_id >= 0
    assert ipu_id is None or is_ipu, f"ipu_id={ipu_id!r}: a non-negative int"


def _begin(user_id: Any, ipu_id: Optional[int]) -> None:
    tracer = context.current()
    if tracer is not None:
        tracer.blocks.begin(user_id, ipu_id)


class Block(nn.Module):
    """Context manager: the operations inside run in this block; after it no block is active."""

    def __init__(self, user_id: Any = None, ipu_id: Optional[int] = None) -> None:
        super().__init__()
        _check_ids(user_id, ipu_id)
        self._user_id, self._ipu_id = user_id, ipu_id

    @staticmethod
    def useAutoId() -> None:
        """Number the blocks without a user_id from 0 again."""
        tracer = context.current()
        if tracer is not None:
            tracer.blocks.restart_auto_ids()

    @staticmethod
    def start(user_id: Any = None, ipu_id: Optional[int] = None) -> None:
        """Begin a block that lasts until the next one begins."""
        _check_ids(user_id, ipu_id)
        _begin(user_id, ipu_id)

    def __enter__(self) -> None:
        _begin(self._user_id, self._ipu_id)

    def __exit__(self, type: Any, value: Any, traceback: Any) -> None:  # the vendor's name
        tracer = context.current()
        if tracer is not None:
            tracer.blocks.end()


def BlockFunction(user_id: Any = None, ipu_id: Optional[int] = None) -> Callable[..., Any]:
    """Decorator form of Block: the function's operations run in the block."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with Block(user_id, ipu_id):
                return function(*args, **kwargs)

        return call

    return decorate


class _BeginHook:
    """The forward pre-hook that begins a block; a class of its own so that it can be found and copied."""

    def __init__(self, user_id: Any, ipu_id: Optional[int]) -> None:
        self._user_id, self._ipu_id = user_id, ipu_id

    def __call__(self, module: nn.Module, inputs: Any) -> None:
        _begin(self._user_id, self._ipu_id)

    def __repr__(self) -> str:
        return f"BeginBlock(user_id={self._user_id}, ipu_id={self._ipu_id})"


class LegacyBeginBlockFn(nn.Module):
    """A plain callable that begins a block each time it is called."""

    def __init__(
        self, layer_to_call: Callable[..., Any], user_id: Any = None, ipu_id: Optional[int] = None
    ) -> None:
        super().__init__()
        _check_ids(user_id, ipu_id)
        self._layer_to_call, self._user_id, self._ipu_id = layer_to_call, user_id, ipu_id

    def __call__(self, *input: Any, **kwargs: Any) -> Any:  # noqa: D102 - the vendor's name
        _begin(self._user_id, self._ipu_id)
        return self._layer_to_call(*input, **kwargs)


def BeginBlock(layer_to_call: Any, user_id: Any = None, ipu_id: Optional[int] = None) -> Any:
    """Let a block begin whenever the module runs; it lasts until the next begins. Changes the module in
    place.

    Refused: a module that begins a block already, and what cannot be called (Error).
    """
    if not callable(layer_to_call):
        raise py_error(f"BeginBlock takes a module or a callable, not {type(layer_to_call).__name__}.")
    if not isinstance(layer_to_call, nn.Module):
        return LegacyBeginBlockFn(layer_to_call, user_id, ipu_id)
    _check_ids(user_id, ipu_id)
    if any(isinstance(hook, _BeginHook) for hook in layer_to_call._forward_pre_hooks.values()):
        raise py_error(
            f"{type(layer_to_call).__name__} has already been assigned to a block: a module can begin only "
            "one. Call poptorch.removeBlocks(module) first, or use separate module instances."
        )
    layer_to_call.register_forward_pre_hook(_BeginHook(user_id, ipu_id))
    return layer_to_call


def removeBlocks(module: nn.Module) -> None:
    """Undo BeginBlock on a module and everything in it."""
    assert isinstance(module, nn.Module), f"removeBlocks takes a torch.nn.Module, got {type(module).__name__}"
    for part in module.modules():
        for key, hook in list(part._forward_pre_hooks.items()):
            if isinstance(hook, _BeginHook):
                del part._forward_pre_hooks[key]
