"""Runs a compiled program over a combined batch in the device's order: [D, A, R, micro-batch]."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

import torch
from torch import Tensor

from .._errors import cpp_error
from . import collectives
from .accumulation import AutomaticLossScale, make_accumulator
from .anchors import Anchors
from .batching import Batching
from .numerics import to_half_grid
from .outputs import OutputCollector
from .program import Program
from .random import DeviceRandom, host_generator_kept
from .weights import DeviceWeights, laid_out


class Engine:
    """A program with its weights, and an optimizer when it trains."""

    def __init__(
        self,
        program: Program,
        weights: DeviceWeights,
        batching: Batching,
        rng: DeviceRandom,
        optimizer: Optional[Any],
        automatic_scale: Optional[AutomaticLossScale] = None,
        stops_at_overflow: bool = False,
    ) -> None:
        self._stops_at_overflow = stops_at_overflow
        self._program, self._weights, self._batching = program, weights, batching
        self._rng, self.optimizer = rng, optimizer
        self._trainable = weights.trainable()
        self._accumulator = make_accumulator(self._trainable, batching, optimizer)
        self._automatic_scale = automatic_scale
        self.num_inputs = self.num_returned = 0
        self.return_also({})

    def return_also(self, anchored: Dict[str, List[Any]]) -> None:
        """Collect inner tensors with every call: Options.anchored_tensors."""
        self.anchors = Anchors(
            anchored, self._trainable, self._weights.storage, self.optimizer, self._batching.replicas
        )

    @property
    def num_micro_batches(self) -> int:
        """Micro-batches that the host feeds in one call."""
        return self._batching.input_micro_batches

    def run(self, inputs: List[Tensor], collector: OutputCollector) -> List[Tensor]:
        """Run one call's micro-batches and return the combined outputs."""
        self._rng.next_execution()
        self._accumulator.take()  # what a call that failed may have left
        self.anchors.start_call()
        count = self._batching.input_micro_batches
        parts = [
            tensor.reshape(count, -1, *tensor.shape[1:]) if tensor.dim() else tensor[None]
            for tensor in inputs
        ]
        with host_generator_kept():
            self._run_all(parts, collector)
        self.anchors.end_call()
        self.num_returned = collector.num_kept
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
        inputs = [laid_out(part[index], self._program.memory_format) for part in parts]
        state = self._weights.state(replica)
        if self.anchors:
            self.anchors.before_micro_batch()
        if self.optimizer is None:
            with torch.no_grad():
                outputs = self._program.run(state, inputs)[1]
            self._check_finite(outputs, "an output")
            self.anchors.after_micro_batch()
            return outputs
        with torch.enable_grad():
            loss, outputs = self._program.run(state, inputs)
            self._backward(loss)
        self.anchors.after_micro_batch()
        self._check_finite(outputs, "an output")
        self._accumulator.after_micro_batch()
        return outputs

    def _backward(self, loss: Tensor) -> None:
        if not loss.requires_grad:
            return
        assert self.optimizer is not None
        seed = torch.full_like(loss, self.optimizer.loss_scaling)
        if self._program.emulation.is_active and self._program.loss_is_half:
            seed = to_half_grid(seed)
        torch.autograd.backward([loss], [seed])

    def _check_finite(self, tensors: List[Tensor], what: str) -> None:
        """With Precision.enableFloatingPointExceptions: Error at the first NaN or infinity that comes out."""
        if self._stops_at_overflow and not all(bool(torch.isfinite(tensor).all()) for tensor in tensors):
            raise cpp_error(
                f"Floating point exception: {what} is infinite or not a number. Lower the loss scaling, or "
                "switch Precision.enableFloatingPointExceptions off to see where it comes from.",
                "poplar_application_runtime_error",
            )

    @torch.no_grad()
    def _update(self) -> None:
        optimizer = self.optimizer
        assert optimizer is not None
        grads, divisor = self._accumulator.take()
        self._check_finite(list(grads.values()), "a gradient")
        collectives.all_reduce_sum(list(grads.values()), self._batching.processes)
        if divisor != 1 and grads:
            torch._foreach_mul_(list(grads.values()), 1.0 / divisor)
        if self._automatic_scale is not None:
            next_scale = self._automatic_scale.observe(list(grads.values()), optimizer.loss_scaling)
        optimizer.step(grads)
        if self._automatic_scale is not None:
            optimizer.loss_scaling = next_scale
        if self._program.emulation.is_active:
            self._weights.refresh_twins()
