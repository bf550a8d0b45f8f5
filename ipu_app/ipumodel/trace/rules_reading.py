"""Reading values in a forward: refused by the exceptions that torch raises on PopTorch's tensors."""

from __future__ import annotations

from typing import Any, Callable, Dict, NoReturn, Tuple

from .._errors import py_error
from .tracer import Tracer

Args = Tuple[Any, ...]
Kwargs = Dict[str, Any]
_REMEDY = (
    "would read the value of an IPU tensor while the model is compiled. Use torch.where or masks for "
    "decisions, and return what you want to see as an output."
)
_ITEM = "item __bool__ __float__ __int__ __index__ __complex__ is_nonzero".split()
_HOST_COPIES = "tolist cpu __repr__ __str__ __format__".split()
_NUMPY = ("numpy", "__array__")


def unreadable(tracer: Tracer, what: str) -> NotImplementedError:
    """What torch raises for ``item()`` and its kind where a device has no such operation."""
    return NotImplementedError(
        f"aten::item is only supported in eager mode, it is eager-only: {what} in '{tracer.paths.current}' "
        + _REMEDY
    )


def _item(tracer: Tracer, func: Any) -> NoReturn:
    raise unreadable(tracer, func.__name__)


def _numpy(tracer: Tracer, func: Any) -> NoReturn:
    raise TypeError(
        f"can't convert ipu:0 device type tensor to numpy: {func.__name__} in '{tracer.paths.current}' "
        + _REMEDY
    )


def _host_copy(tracer: Tracer, func: Any) -> NoReturn:
    raise py_error(
        "Illegal move to CPU: this copies the tensor to the host, which is eager-only: "
        f"{func.__name__} in '{tracer.paths.current}' {_REMEDY}"
    )


def _reader(refuse: Callable[[Tracer, Any], NoReturn]) -> Callable[[Tracer, Any, Args, Kwargs], Any]:
    def read(tracer: Tracer, func: Any, args: Args, kwargs: Kwargs) -> Any:
        if args and tracer.is_traced(args[0]):
            refuse(tracer, func)
        return func(*args, **kwargs)

    return read


RULES: Dict[str, Callable[[Tracer, Any, Args, Kwargs], Any]] = {
    **dict.fromkeys(_ITEM, _reader(_item)),
    **dict.fromkeys(_NUMPY, _reader(_numpy)),
    **dict.fromkeys(_HOST_COPIES, _reader(_host_copy)),
}
