"""The user's model while a training executor holds its weights: touching them reads them back from the
device.

PopTorch changes the class of the model, its parameters and its buffers in place. So does this; names in the
state dict stay, `isinstance` stays true, and `release` gives the classes back.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Optional, Tuple

import torch
from torch import Tensor, nn

from .._errors import py_error

Sync = Callable[[], Any]
_LINK = "_ipu_executor"
# attributes of the model that never need the device's weights
_QUIET = frozenset(
    """
    __class__ __dict__ __setattr__ __deepcopy__ train eval training _ipu_executor copyWeightsToHostIfNeeded
    destroy
    """.split()
)


def _sync(owner: Any) -> None:
    executor = object.__getattribute__(owner, "__dict__").get(_LINK)
    if executor is not None:
        executor.copyWeightsToHostIfNeeded()


class HostParameter(nn.Parameter):
    """A parameter whose device copy may be newer: any use reads it back first."""

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Tuple[Any, ...] = (), kwargs: Optional[Dict[str, Any]] = None
    ) -> Any:
        for item in list(args) + list((kwargs or {}).values()):
            for tensor in item if isinstance(item, (list, tuple)) else (item,):
                if isinstance(tensor, (HostParameter, HostBuffer)):
                    _sync(tensor)
        return torch._C._disabled_torch_function_impl(func, types, args, kwargs or {})

    def __reduce_ex__(self, protocol: int) -> Any:
        _sync(self)
        return nn.Parameter(self.data, self.requires_grad).__reduce_ex__(protocol)

    def __deepcopy__(self, memo: Dict[int, Any]) -> Any:
        _sync(self)
        if id(self) not in memo:
            copied = nn.Parameter(self.data.clone(memory_format=torch.preserve_format), self.requires_grad)
            memo[id(self)] = copied
        return memo[id(self)]


class HostBuffer(Tensor):
    """The same for a buffer."""

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Tuple[Any, ...] = (), kwargs: Optional[Dict[str, Any]] = None
    ) -> Any:
        return HostParameter.__torch_function__(func, types, args, kwargs)

    def __reduce_ex__(self, protocol: int) -> Any:
        _sync(self)
        return self.data.as_subclass(Tensor).__reduce_ex__(protocol)

    def __deepcopy__(self, memo: Dict[int, Any]) -> Any:
        _sync(self)
        if id(self) not in memo:
            memo[id(self)] = self.data.as_subclass(Tensor).clone()
        return memo[id(self)]


def shallow_copy(model: nn.Module) -> nn.Module:
    """A copy of the model that shares modules and weights, of the model's own class."""
    twin = object.__new__(type(model).__bases__[0] if is_held(model) else type(model))
    twin.__dict__.update({key: value for key, value in model.__dict__.items() if key != _LINK})
    return twin


def plain_copy(model: nn.Module) -> nn.Module:
    """A deep copy with the weights read back, of the model's own classes."""
    import copy

    return copy.deepcopy(model)


def is_held(model: nn.Module) -> bool:
    """Whether a training executor holds the model's weights."""
    return _LINK in object.__getattribute__(model, "__dict__")


def holder(model: nn.Module) -> Any:
    """The training executor that holds the model's weights, None if there is none."""
    return object.__getattribute__(model, "__dict__").get(_LINK)


def hold(model: nn.Module, executor: Any) -> None:
    """Tie a model to its training executor, which lives as long as the model does or until destroy()."""
    for name, buffer in model.named_buffers():
        if type(buffer) is not Tensor:
            raise py_error(
                f"Buffer {name} is a {type(buffer).__name__}, but wrapping for training needs every buffer "
                "to be exactly torch.Tensor: register buffer.as_subclass(torch.Tensor)."
            )
    for tensor, kind in _tensors(model):
        tensor.__dict__[_LINK] = executor
        tensor.__class__ = kind
    model.__dict__[_LINK] = executor
    model.__class__ = _held_class(type(model))


def release(model: nn.Module) -> None:
    """Give the model and its tensors their own classes back."""
    held = type(model)
    model.__class__ = held.__bases__[0]
    model.__dict__.pop(_LINK, None)
    for module in model.modules():
        for tensor in list(module._parameters.values()) + list(module._buffers.values()):
            if isinstance(tensor, (HostParameter, HostBuffer)):
                tensor.__dict__.pop(_LINK, None)
                tensor.__class__ = nn.Parameter if isinstance(tensor, HostParameter) else Tensor


def _tensors(model: nn.Module) -> Any:
    for parameter in model.parameters():
        if type(parameter) is nn.Parameter:
            yield parameter, HostParameter
    for buffer in model.buffers():
        yield buffer, HostBuffer


def _destroy(model: Any) -> None:
    """Destroy the executor that trains a model; does nothing for a model that none does."""
    executor = holder(model)
    if executor is not None:
        executor.destroy()


def _held_class(original: type) -> type:
    def __getattribute__(self: Any, name: str) -> Any:
        if name not in _QUIET:
            _sync(self)
        return original.__getattribute__(self, name)

    def state_dict(self: Any, *args: Any, **kwargs: Any) -> Any:
        _sync(self)
        state = original.state_dict(self, *args, **kwargs)  # type: ignore[attr-defined]
        for key, value in list(state.items()):
            if isinstance(value, (HostBuffer, HostParameter)):
                with torch._C.DisableTorchFunction():
                    state[key] = value.detach().as_subclass(Tensor)
        return state

    def copyWeightsToHostIfNeeded(self: Any) -> bool:
        executor = holder(self)
        return executor is not None and executor.copyWeightsToHostIfNeeded()

    def __deepcopy__(self: Any, memo: Dict[int, Any]) -> Any:
        return _copied(self, original, memo)

    def __reduce_ex__(self: Any, protocol: int) -> Any:
        _sync(self)
        state = {key: value for key, value in self.__dict__.items() if key != _LINK}
        return (_rebuilt, (original, state))

    members = {
        "__getattribute__": __getattribute__,
        "state_dict": state_dict,
        "copyWeightsToHostIfNeeded": copyWeightsToHostIfNeeded,
        "destroy": _destroy,
        "__deepcopy__": __deepcopy__,
        "__reduce_ex__": __reduce_ex__,
        "__module__": original.__module__,
        "__qualname__": original.__qualname__,
    }
    return type(f"Poptorch{original.__name__}", (original,), members)


def _copied(model: Any, original: type, memo: Dict[int, Any]) -> Any:
    import copy

    _sync(model)
    twin = original.__new__(original)
    memo[id(model)] = twin
    for key, value in model.__dict__.items():
        if key != _LINK:
            twin.__dict__[key] = copy.deepcopy(value, memo)
    return twin


def _rebuilt(original: Any, state: Dict[str, Any]) -> Any:
    model = original.__new__(original)
    model.__dict__.update(state)
    return model
