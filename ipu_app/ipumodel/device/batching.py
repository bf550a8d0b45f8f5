"""The batch factors of one executor call, read from options: D iterations, A accumulation steps, R replicas,
P processes.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from ..enums import CommGroupType, ReductionType


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
