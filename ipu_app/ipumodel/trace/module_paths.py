"""Which module of the model is running now, for messages and for the list of operations."""

from __future__ import annotations

from typing import Any, Callable, Dict, List

from torch import nn


class ModulePaths:
    """Context manager that follows module calls; `current` is the dotted path of the innermost one."""

    def __init__(self, model: nn.Module) -> None:
        self._names: Dict[int, str] = {id(module): name for name, module in model.named_modules()}
        self._stack: List[str] = [""]

    @property
    def current(self) -> str:
        """Dotted path of the module that is running, empty for the model itself."""
        return self._stack[-1]

    def __enter__(self) -> "ModulePaths":
        self._original: Callable[..., Any] = nn.Module.__call__
        nn.Module.__call__ = self._following(self._original)  # type: ignore[method-assign]
        return self

    def __exit__(self, *exc_info: Any) -> None:
        nn.Module.__call__ = self._original  # type: ignore[method-assign]

    def _following(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            self._stack.append(self._names.get(id(module), self._stack[-1]))
            try:
                return original(module, *args, **kwargs)
            finally:
                self._stack.pop()

        return call
