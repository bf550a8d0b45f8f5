"""The batch geometries of a phase: on IPUs by its replicas, elsewhere by accumulating to the same batch."""

from __future__ import annotations

from dataclasses import replace
from typing import Tuple

from ipu_app.config.schema import PhaseConfig
from pipelines.geometry import BatchGeometry


def make_geometries(
    phase: PhaseConfig, device: str, *, instances: int
) -> Tuple[BatchGeometry, BatchGeometry]:
    """Return the batch geometries of training and validation for one instance.

    On IPUs the replicas are shared out over the instances. Elsewhere each instance is one replica, and the
    same global batch is made by accumulating.
    """
    batch = phase.batch
    if device == "ipu":
        if batch.replicas % instances:
            raise ValueError(
                f"batch.replicas={batch.replicas}: must be a multiple of this job's {instances} instances"
            )
        stages = len(phase.pipeline.splits) + 1
        train = BatchGeometry(
            batch.micro, batch.accumulation, batch.replicas // instances, batch.device_iterations, instances
        )
        evaluation = replace(
            train, micro_batch=batch.eval_micro or batch.micro, accumulation=1, device_iterations=stages
        )
        return train, evaluation
    micro = batch.torch_micro or batch.micro
    if batch.global_batch % (micro * instances):
        raise ValueError(
            f"batch: a global batch of {batch.global_batch} can not be made of micro-batches of {micro} on "
            f"{instances} instances; set batch.torch_micro to a divisor of {batch.global_batch // instances}"
        )
    accumulation = batch.global_batch // (micro * instances)
    train = BatchGeometry(micro, accumulation, 1, batch.device_iterations, instances)
    evaluation = BatchGeometry(batch.eval_micro or max(micro, 32), 1, 1, 1, instances)
    return train, evaluation
