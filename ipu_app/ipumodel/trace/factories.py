"""While a model is traced, torch's factory functions make tensors on the device unless told otherwise.

Only the attributes of the torch module are replaced, as PopTorch does: a name imported with `from torch
import rand` before the trace keeps making host tensors.
"""

from __future__ import annotations

import contextlib
import functools
from typing import Any, Callable, Iterator

import torch

from .._errors import py_error
from .._logging import logger
from . import context
from .device_names import is_ipu

FACTORIES = (
    "arange empty full full_like linspace logspace ones rand randint randn randperm range tensor zeros "
    "zeros_like"
).split()


@contextlib.contextmanager
def patched(device: torch.device) -> Iterator[None]:
    """Give the factory functions a default device, and switch off what has no meaning while tracing."""
    originals = {name: getattr(torch, name) for name in FACTORIES}
    normal, grad, backward = torch.normal, torch.autograd.grad, torch.autograd.backward
    checkpoint_module = __import__("torch.utils.checkpoint", fromlist=["checkpoint"])
    checkpoint = checkpoint_module.checkpoint
    validates = torch.distributions.Distribution._validate_args
    apply = torch.autograd.Function.__dict__.get("apply")
    for name, original in originals.items():
        setattr(torch, name, _with_device(original, device))
    torch.normal = _normal(normal, device)
    torch.autograd.grad = _refused("torch.autograd.grad")
    torch.autograd.backward = _refused("backward()")
    torch.autograd.Function.apply = classmethod(_apply_forward_only)  # type: ignore[method-assign]
    checkpoint_module.checkpoint = _call_directly
    torch.distributions.Distribution.set_default_validate_args(False)
    has_module = hasattr(torch, "ipu")
    if not has_module:  # newer versions of torch look for a module by the name of a tensor's device
        torch.ipu = getattr(torch, "cpu", torch)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(torch, name, original)
        torch.normal, torch.autograd.grad, torch.autograd.backward = normal, grad, backward
        checkpoint_module.checkpoint = checkpoint
        torch.distributions.Distribution.set_default_validate_args(validates)
        if not has_module:
            del torch.ipu  # type: ignore[attr-defined]
        if apply is None:
            del torch.autograd.Function.apply
        else:
            torch.autograd.Function.apply = apply


def _with_device(original: Callable[..., Any], device: torch.device) -> Callable[..., Any]:
    @functools.wraps(original)
    def make(*args: Any, **kwargs: Any) -> Any:
        if kwargs.get("device") is None:
            logger.warning("No device set in torch.%s(): forcing to IPU", original.__name__)
            kwargs["device"] = device
        elif is_ipu(kwargs["device"]):
            kwargs["device"] = device
        return original(*args, **kwargs)

    return make


def _normal(original: Callable[..., Any], device: torch.device) -> Callable[..., Any]:
    @functools.wraps(original)
    def make(*args: Any, **kwargs: Any) -> Any:
        only_numbers = not any(isinstance(item, torch.Tensor) for item in [*args, *kwargs.values()])
        if only_numbers and kwargs.get("device") is None:
            logger.warning("No device set in torch.%s(): forcing to IPU", original.__name__)
            kwargs["device"] = device
        return original(*args, **kwargs)

    return make


def _refused(what: str) -> Callable[..., Any]:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise py_error(
            f"{what} inside a model has no meaning on the IPU: the backward pass is made from the recorded "
            "forward. Mark the loss with poptorch.identity_loss and let the executor differentiate it."
        )

    return refuse


def _call_directly(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    for name in (
        "use_reentrant",
        "preserve_rng_state",
        "context_fn",
        "determinism_check",
        "debug",
        "early_stop",
    ):
        kwargs.pop(name, None)
    return function(*args, **kwargs)


class _ForwardOnlyContext:
    """The `ctx` of a custom function: takes whatever is saved, and forgets it."""

    needs_input_grad = ()

    def __init__(self) -> None:
        self.saved_tensors: Any = ()

    def save_for_backward(self, *tensors: Any) -> None:
        self.saved_tensors = tensors

    save_for_forward = save_for_backward

    def mark_dirty(self, *tensors: Any) -> None:
        """No effect: the device does not look at it."""

    def mark_non_differentiable(self, *tensors: Any) -> None:
        """No effect: the device differentiates the recorded forward."""

    def set_materialize_grads(self, value: bool) -> None:
        """No effect."""


def _apply_forward_only(cls: Any, *args: Any, **kwargs: Any) -> Any:
    """Record a custom function's forward as ordinary operations: its backward is never used on the device."""
    tracer = context.current()
    if tracer is not None:
        tracer.warn(
            f"torch.autograd.Function {cls.__name__} in '{tracer.paths.current}': its backward is never "
            "used on the IPU, the recorded forward is differentiated instead. Write it with ordinary "
            "operations."
        )
    ctx = _ForwardOnlyContext()
    if (
        cls.setup_context is not torch.autograd.Function.setup_context
        if hasattr(cls, "setup_context")
        else False
    ):
        outputs = cls.forward(*args, **kwargs)
        cls.setup_context(ctx, args, outputs)
        return outputs
    return cls.forward(ctx, *args, **kwargs)
