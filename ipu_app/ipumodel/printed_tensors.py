"""poptorch.ipu_print_tensor: prints a tensor, and its gradient, each time the device computes it."""

from __future__ import annotations

import sys
from typing import Any, Callable, Dict

import torch
from torch import Tensor

from ._errors import py_error
from .trace import context

Show = Callable[[str, Tensor], None]
FLOAT_FORMATS = ("auto", "fixed", "scientific", "none")


def ipu_print_tensor(  # noqa: PLR0913 - the vendor's signature
    tensor: Tensor,
    title: str = "",
    print_gradient: bool = True,
    summarise_threshold: int = 1000,
    edge_items: int = 3,
    max_line_width: int = 80,
    digits: int = 4,
    float_format: str = "auto",
    separator: str = ", ",
    open_bracket: str = "(",
    close_bracket: str = ")",
) -> Tensor:
    """Print a tensor on stderr, title first, each time the model runs: an identity."""
    if not isinstance(tensor, Tensor):
        raise py_error(
            f"ipu print tensor must take a torch.tensor argument. {type(tensor)} is not supported."
        )
    assert isinstance(title, str), "The title of ipu_print_tensor is a string"
    if float_format not in FLOAT_FORMATS:
        raise KeyError(float_format)
    layout = {
        "threshold": summarise_threshold,
        "edgeitems": edge_items,
        "linewidth": max_line_width or 10**6,
        "precision": digits,
        "sci_mode": True if float_format == "scientific" else None,
    }
    brackets = str.maketrans({"[": open_bracket, "]": close_bracket})
    show = _printer(layout, brackets, separator)
    tracer = context.current()
    if tracer is None or not tracer.is_traced(tensor):
        show(title, tensor)
        return tensor.view_as(tensor)
    return tracer.record_identity(_printed(title, show, with_gradient=print_gradient), tensor)


def _printer(
    layout: Dict[str, Any], brackets: Dict[int, str], separator: str
) -> Callable[[str, Tensor], None]:
    def show(title: str, tensor: Tensor) -> None:
        before = {key: getattr(torch._tensor_str.PRINT_OPTS, key) for key in layout}
        torch.set_printoptions(**layout)
        try:
            text = str(tensor.detach().tolist() if tensor.dim() == 0 else _values(tensor))
        finally:
            torch.set_printoptions(**before)
        text = text.replace(", ", separator).translate(brackets)
        sys.stderr.write(f"{title}: {text}\n" if title else f"{text}\n")
        sys.stderr.flush()

    return show


def _values(tensor: Tensor) -> str:
    """What torch prints between the parentheses of ``tensor(...)``."""
    text = str(tensor.detach())
    inner = text[text.index("(") + 1 : text.rindex(")")]
    return inner[: inner.rindex("]") + 1]


def _printed(
    title: str, show: Callable[[str, Tensor], None], *, with_gradient: bool
) -> Callable[[Tensor], Tensor]:
    """The operation that runs in the model's program."""

    def printed(tensor: Tensor) -> Tensor:
        show(title, tensor)
        result = tensor.view_as(tensor)
        if with_gradient and result.requires_grad:
            result.register_hook(lambda gradient: show(f"Gradient__{title}", gradient))
        return result

    return printed
