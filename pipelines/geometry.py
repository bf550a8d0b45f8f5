"""How many samples go where: the one place where batch factors are multiplied.

The words are PopTorch's: a *micro-batch* is one pass through the model on one replica, *accumulation* is the
number of micro-batches between two weight updates, *device iterations* are the weight updates in one call,
and an *instance* is one host process.
"""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class BatchGeometry:
    """Batch factors of one job. ``replicas`` counts the replicas of *one* instance; all factors are 1 or
    more.
    """

    micro_batch: int = 1
    accumulation: int = 1
    replicas: int = 1
    device_iterations: int = 1
    instances: int = 1

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{field.name}={value!r}: must be a whole number, 1 or more")

    @property
    def total_replicas(self) -> int:
        """Replicas of the whole job."""
        return self.replicas * self.instances

    @property
    def micro_batches_per_batch(self) -> int:
        """Micro-batches that one runtime call of one instance takes."""
        return self.device_iterations * self.accumulation * self.replicas

    @property
    def samples_per_batch(self) -> int:
        """Samples that one runtime call of one instance takes (PopTorch's combined batch size)."""
        return self.micro_batch * self.micro_batches_per_batch

    @property
    def samples_per_step(self) -> int:
        """Samples between two weight updates, over the whole job (the global batch)."""
        return self.micro_batch * self.accumulation * self.total_replicas

    @property
    def samples_per_call(self) -> int:
        """Samples that one runtime call takes over the whole job."""
        return self.samples_per_step * self.device_iterations
