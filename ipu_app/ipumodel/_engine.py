"""Runs a compiled program over a combined batch in the device's order: [D, A, R, micro-batch]."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, List, Optional

import torch
from torch import Tensor

from . import _collectives
from ._numerics import to_half_grid
from ._outputs import OutputCollector
from ._program import Program
from ._random import DeviceRandom, host_generator_kept
from ._weights import DeviceWeights
from .enums import CommGroupType, ReductionType


@dataclasses.dataclass(frozen=True)
class Batching:
    """The factors of one call, and how gradients are reduced."""

    device_iterations: int
    accumulation: int
    replicas: int
    input_group: int
    group_type: int
    processes: int
    process: int
    reduction: int

    @classmethod
    def of(cls, options: Any) -> "Batching":
        """Read them from options."""
        return cls(
            device_iterations=options.device_iterations,
            accumulation=options.Training.gradient_accumulation,
            replicas=options.replication_factor,
            input_group=options.input_group_size,
            group_type=int(options.input_cgt),
            processes=options.Distributed.num_distributed_processes,
            process=options.Distributed.distributed_process_id,
            reduction=int(options.Training.accumulation_and_replication_reduction_type),
        )

    @property
    def input_micro_batches(self) -> int:
        """Micro-batches that the host feeds in one call."""
        return self.device_iterations * self.accumulation * (self.replicas // self.input_group)

    @property
    def gradient_divisor(self) -> int:
        """What the sum of micro-batch gradients is divided by: A * R * P for Mean, 1 for Sum."""
        if self.reduction == ReductionType.Sum:
            return 1
        return self.accumulation * self.replicas * self.processes

    def input_index(self, step: int, replica: int) -> int:
        """Which micro-batch of the input goes to a replica in a step (a step is one d and a)."""
        groups = self.replicas // self.input_group
        orthogonal = self.group_type == CommGroupType.Orthogonal
        return step * groups + (replica % groups if orthogonal else replica // self.input_group)


class Engine:
    """A program with its weights, and an optimizer when it trains."""

    def __init__(
        self,
        program: Program,
        weights: DeviceWeights,
        batching: Batching,
        rng: DeviceRandom,
        optimizer: Optional[Any],
    ) -> None:
        self._program, self._weights, self._batching = program, weights, batching
        self._rng, self.optimizer = rng, optimizer
        self._trainable = weights.trainable()

    def run(self, inputs: List[Tensor], collector: OutputCollector) -> List[Tensor]:
        """Run one call's micro-batches and return the combined outputs."""
        self._rng.next_execution()
        count = self._batching.input_micro_batches
        parts = [
            tensor.reshape(count, -1, *tensor.shape[1:]) if tensor.dim() else tensor[None]
            for tensor in inputs
        ]
        with host_generator_kept():
            self._run_all(parts, collector)
        return collector.combined()

    def _run_all(self, parts: List[Tensor], collector: OutputCollector) -> None:
        batching = self._batching
        for iteration in range(batching.device_iterations):
            for accumulation in range(batching.accumulation):
                step = iteration * batching.accumulation + accumulation
                for replica in range(batching.replicas):
                    collector.add(self._micro_batch(parts, step, replica))
            if self.optimizer is not None:
                self._update()

    def _micro_batch(self, parts: List[Tensor], step: int, replica: int) -> List[Tensor]:
        batching = self._batching
        index = batching.input_index(step, replica)
        if self._program.uses_random:
            self._rng.seed_micro_batch(step, batching.process * batching.replicas + replica)
        inputs = [part[index] for part in parts]
        state = self._weights.state(replica)
        if self.optimizer is None:
            with torch.no_grad():
                return self._program.run(state, inputs)[1]
        with torch.enable_grad():
            loss, outputs = self._program.run(state, inputs)
            self._backward(loss)
        return outputs

    def _backward(self, loss: Tensor) -> None:
        if not loss.requires_grad:
            return
        assert self.optimizer is not None
        seed = torch.full_like(loss, self.optimizer.loss_scaling)
        if self._program.emulation.is_active and self._program.loss_is_half:
            seed = to_half_grid(seed)
        torch.autograd.backward([loss], [seed])

    @torch.no_grad()
    def _update(self) -> None:
        batching, optimizer = self._batching, self.optimizer
        assert optimizer is not None
        grads: Dict[str, Tensor] = {}
        for name, leaf in self._trainable.items():
            if leaf.grad is not None:
                grads[name], leaf.grad = leaf.grad, None
        _collectives.all_reduce_sum(list(grads.values()), batching.processes)
        if batching.gradient_divisor != 1 and grads:
            torch._foreach_mul_(list(grads.values()), 1.0 / batching.gradient_divisor)
        optimizer.step(grads)
        if self._program.emulation.is_active:
            self._weights.refresh_twins()
