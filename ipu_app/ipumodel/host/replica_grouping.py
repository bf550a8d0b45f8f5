"""Parameters that differ between groups of replicas: executor.NAME.replicaGrouping(...), before compilation.

The parameter's first dimension counts the groups; each replica's graph sees its group's slice. Only inference
is simulated.
"""

from __future__ import annotations

import contextlib
from typing import Any, Dict, Iterator, List, Tuple

import torch
from torch import nn

from .._errors import py_error
from ..enums import CommGroupType, VariableRetrievalMode

#: parameter name -> (kind of group, its size, from which replicas it is read back)
Groupings = Dict[str, Tuple[CommGroupType, int, VariableRetrievalMode]]


class GroupedParameter:
    """A parameter as an attribute of an executor: the parameter itself, and replicaGrouping()."""

    def __init__(self, parameter: nn.Parameter, name: str, groupings: Groupings) -> None:
        self.__dict__.update(_parameter=parameter, _name=name, _groupings=groupings)

    def replicaGrouping(
        self, comm_group_type: CommGroupType, shards: int, variable_retrieval_mode: VariableRetrievalMode
    ) -> None:
        """Give each group of replicas a slice of its own; `shards` is the number of replicas in a group."""
        self._groupings[self._name] = (comm_group_type, shards, variable_retrieval_mode)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parameter, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._parameter, name, value)

    def __repr__(self) -> str:
        return repr(self._parameter)

    def __len__(self) -> int:
        return len(self._parameter)

    def __getitem__(self, index: Any) -> Any:
        return self._parameter[index]

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        plain = [item._parameter if isinstance(item, cls) else item for item in args]
        named = {k: v._parameter if isinstance(v, cls) else v for k, v in (kwargs or {}).items()}
        return func(*plain, **named)


def _operator(name: str) -> Any:
    return lambda self, *others: getattr(self._parameter, name)(*others)


for _name in (
    "add radd sub rsub mul rmul truediv rtruediv matmul rmatmul pow rpow neg eq ne lt le gt ge bool float int"
).split():
    setattr(GroupedParameter, f"__{_name}__", _operator(f"__{_name}__"))
GroupedParameter.__hash__ = lambda self: hash(self._parameter)  # type: ignore[method-assign]


def as_attribute(value: Any, name: str, groupings: Groupings) -> Any:
    """What an executor's attribute is: parameters can be grouped, anything else is the model's."""
    return GroupedParameter(value, name, groupings) if isinstance(value, nn.Parameter) else value


def groups_of_replicas(groupings: Groupings, replicas: int) -> Dict[str, List[int]]:
    """Which slice each replica sees, by parameter."""
    return {name: _groups(kind, size, replicas) for name, (kind, size, _) in groupings.items()}


def _groups(kind: CommGroupType, size: int, replicas: int) -> List[int]:
    if kind == CommGroupType.All:
        return [0] * replicas
    if kind == CommGroupType.NoGrouping:
        return list(range(replicas))
    if size < 1 or replicas % size:
        raise py_error(f"replicaGrouping: {size} replicas a group do not divide {replicas} replicas")
    count = replicas // size
    return [r % count if kind == CommGroupType.Orthogonal else r // size for r in range(replicas)]


@contextlib.contextmanager
def sliced(model: nn.Module, groupings: Groupings, *, training: bool) -> Iterator[None]:
    """Give the model one slice of each grouped parameter, while it is traced."""
    if groupings and training:
        raise py_error("replicaGrouping: the simulator has it for inference only")
    whole = {}
    for name in groupings:
        parameter = model.get_parameter(name)
        if not parameter.dim():
            raise py_error("Scalars cannot be passed as per-replica weight tensor values")
        whole[name] = parameter
        _put(model, name, nn.Parameter(parameter.detach()[0].clone(), requires_grad=parameter.requires_grad))
    try:
        yield
    finally:
        for name, parameter in whole.items():
            _put(model, name, parameter)


def _put(model: nn.Module, name: str, parameter: torch.Tensor) -> None:
    path, _, last = name.rpartition(".")
    setattr(model.get_submodule(path), last, parameter)
