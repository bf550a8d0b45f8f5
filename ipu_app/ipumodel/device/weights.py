"""The device's own copies of parameters and buffers, and their way to and from the host."""

from __future__ import annotations

from typing import Dict, List, Optional, Set

import torch
from torch import Tensor, nn

from ..trace.graph import Graph
from ..trace.types import device_dtype


def host_state(model: nn.Module, graph: Graph) -> Dict[str, Tensor]:
    """The host's parameters and buffers by the names of the graph's state."""
    found = dict(model.named_parameters())
    found.update(model.named_buffers())
    return {name: found[name] for name in graph.state}


class DeviceWeights:
    """One copy of the weights for all replicas, and a copy per replica of the buffers that the forward
    writes into.

    `storage` holds each weight in its device type; the program works on float32 twins of float16 weights.
    `groups` says of weights that differ between replicas which slice each replica works on.
    """

    def __init__(
        self,
        host: Dict[str, Tensor],
        *,
        replicas: int,
        mutated: Set[str],
        training: bool,
        memory_format: torch.memory_format = torch.contiguous_format,
        groups: Optional[Dict[str, List[int]]] = None,
    ) -> None:
        self._host = host
        self._groups = groups or {}
        self.storage: Dict[str, Tensor] = {}
        self._twins: Dict[str, Tensor] = {}
        self._per_replica = [
            name for name in host if name in mutated and not isinstance(host[name], nn.Parameter)
        ]
        for name, tensor in host.items():
            stored = tensor.detach().to(device_dtype(tensor.dtype)).clone()
            self.storage[name] = laid_out(stored, memory_format)
            twin = self.storage[name]
            twin = twin.float() if twin.dtype == torch.float16 else twin.detach()
            if training and isinstance(tensor, nn.Parameter) and tensor.requires_grad:
                twin.requires_grad_()
            self._twins[name] = twin
        self._replicas = [self._replica_state(replica) for replica in range(replicas)]
        self._constants = [
            (position, self._twins[name])
            for position, name in enumerate(host)
            if name in self._per_replica and not tensor_is_variable(self.storage[name])
        ]

    def _replica_state(self, replica: int) -> List[Tensor]:
        own = replica > 0
        return [
            twin[self._groups[name][replica]]
            if name in self._groups
            else (twin.clone() if own and name in self._per_replica else twin)
            for name, twin in self._twins.items()
        ]

    def state(self, replica: int) -> List[Tensor]:
        """The program's state for one replica; integer buffers that the forward writes into start afresh
        each time.
        """
        values = self._replicas[replica]
        if self._constants:
            values = list(values)
            for position, constant in self._constants:
                values[position] = constant.clone()
        return values

    def trainable(self) -> Dict[str, Tensor]:
        """The program's leaf tensors that collect gradients, by name."""
        return {name: twin for name, twin in self._twins.items() if twin.requires_grad}

    @torch.no_grad()
    def refresh_twins(self) -> None:
        """Take float16 weights over into the program's float32 twins after an update."""
        for name, stored in self.storage.items():
            if stored.dtype == torch.float16 and name not in self._per_replica:
                self._twins[name].copy_(stored)

    def host_tensors(self) -> List[Tensor]:
        """The host's tensors that the device has copies of."""
        return list(self._host.values())

    @torch.no_grad()
    def upload(self, only: Optional[Set[str]] = None) -> None:
        """Copy the host's parameters and floating-point buffers (or only some) to the device, to all
        replicas.
        """
        for position, (name, tensor) in enumerate(self._host.items()):
            stored = self.storage[name]
            if not tensor_is_variable(stored) or (only is not None and name not in only):
                continue
            stored.copy_(tensor.detach())
            for replica, values in enumerate(self._replicas):
                values[position].copy_(
                    stored[self._groups[name][replica]] if name in self._groups else stored
                )

    @torch.no_grad()
    def download(self) -> None:
        """Copy the device's parameters and floating-point buffers (the first replica's) to the host."""
        for name, tensor in self._host.items():
            if not tensor_is_variable(self.storage[name]):
                continue
            source = self._twins[name] if name in self._per_replica else self.storage[name]
            tensor.detach().copy_(source.detach())


def laid_out(tensor: Tensor, memory_format: torch.memory_format) -> Tensor:
    """A tensor in a memory format, which is for images and convolutions only; others are contiguous."""
    return tensor.contiguous(memory_format=memory_format if tensor.dim() == 4 else torch.contiguous_format)


def tensor_is_variable(tensor: Tensor) -> bool:
    """Whether a state tensor is a variable on the device: floating-point ones are, the others are
    constants.
    """
    return tensor.is_floating_point()
