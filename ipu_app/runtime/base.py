"""The contract of a runtime: one batch in, sums out.

A *batch* is what one call takes, ``geometry.samples_per_batch`` samples of this instance. What a runtime does
inside (micro-batches, accumulation, replicas, pipelines, several updates) is its own affair: the trainer only
ever sees sums over samples, never means, so that they add up over batches and instances.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple, Union

import torch
from torch import Tensor, nn

from ipu_app.models.train_graph import EvalGraph, LogitsGraph, TrainGraph
from ipu_app.runtime.optimizers import OptimizerSpec
from pipelines.geometry import BatchGeometry

Batch = Sequence[Tensor]  # images uint8 (N, 3, H, W), labels (N,), and mixing coefficients (N, k) if any
Weights = Dict[str, Tensor]


@dataclass(frozen=True)
class StepKnobs:
    """What may change from one call to the next without a recompilation."""

    lr: float
    loss_scale: float = 1.0


@dataclass(frozen=True)
class BatchResult:
    """Sums over the samples of one batch of this instance; ``loss_sum`` is in nats.

    ``left_out``: updates that were not made, as they were no finite numbers; the sums are without them.
    """

    loss_sum: float
    correct: float
    samples: int
    left_out: int = 0


@dataclass(frozen=True)
class EvalResult:
    """Sums over the valid (not padding) samples of one batch, and each sample's label and prediction."""

    loss_sum: float
    correct: float
    correct_top5: float
    samples: int
    labels: Tuple[int, ...] = ()
    predictions: Tuple[int, ...] = ()


@dataclass(frozen=True)
class LeftBehind:
    """What of a saved state can not be taken up: ``lost`` was learnt, ``anew`` begins from its start."""

    lost: Tuple[str, ...] = ()
    anew: Tuple[str, ...] = ()


@dataclass(frozen=True)
class RuntimeInfo:
    """What this runtime is, for the first line of a run and for its records.

    ``backend`` is one of hardware, sdk-ipumodel, simulator, cuda, cpu; ``rate_label`` says what an images/s
    figure of this runtime is.
    """

    device: str
    backend: str
    description: str
    rate_label: str
    notes: Tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class RuntimeParts:
    """What every runtime is made from: two graphs, their batch geometries, optimiser, loader workers.

    An evaluation graph of logits is for naming images, not for ``eval_batch``, which wants labels.
    ``eval_workers``: those of the loader of validation images; None takes as many. ``update_averaging``:
    decay of an average of the weights after every update, for runtimes that see every one; 0: none.
    """

    train_graph: TrainGraph
    eval_graph: Union[EvalGraph, LogitsGraph]
    geometry: BatchGeometry
    eval_geometry: BatchGeometry
    optimizer: OptimizerSpec
    workers: int = 0
    eval_workers: Optional[int] = None
    update_averaging: float = 0.0


@dataclass(frozen=True)
class StageChange:
    """What changes between two stages of one training: batches, mixing (None: none), dropout's rate."""

    geometry: BatchGeometry
    eval_geometry: BatchGeometry
    mix: Optional[nn.Module]
    dropout: float


class Runtime:
    """Base of all runtimes; holds the geometries, which say how many samples a batch has."""

    info: RuntimeInfo

    def __init__(self, parts: RuntimeParts) -> None:
        self.geometry = parts.geometry
        self.eval_geometry = parts.eval_geometry
        self._train_workers = parts.workers
        self._eval_workers = parts.workers if parts.eval_workers is None else parts.eval_workers

    def num_workers(self, *, train: bool) -> int:
        """Return how many processes load images for training, or for validation."""
        return self._train_workers if train else self._eval_workers

    def loader(self, dataset: Any, sampler: Any, *, train: bool) -> Iterable[Batch]:
        """Return an iterable of batches of this runtime's size, in the sampler's order."""
        raise NotImplementedError

    def prepare(self, batch: Batch) -> Any:
        """Compile for batches of this shape, if this runtime compiles; return what the compiler reports."""
        return None

    def train_batch(self, batch: Batch, knobs: StepKnobs) -> BatchResult:
        """Train on one batch: ``geometry.device_iterations`` weight updates at one learning rate."""
        raise NotImplementedError

    def eval_batch(self, batch: Batch) -> EvalResult:
        """Classify one batch with the weights last given to ``load_eval_weights``; label -1 is padding."""
        raise NotImplementedError

    def eval_outputs(self, *batch: Tensor) -> Any:
        """Return what the evaluation graph gives for one batch, where the runtime is one that compiles it."""
        raise NotImplementedError

    def load_eval_weights(self, weights: Weights) -> None:
        """Use these weights for ``eval_batch``; training weights stay as they are."""
        raise NotImplementedError

    def weights(self) -> Weights:
        """Return a copy of the model's current weights on the host."""
        raise NotImplementedError

    def state_dict(self) -> Dict[str, Any]:
        """Return all that resuming needs: model, optimiser, random state. Tensors are copies on the host."""
        raise NotImplementedError

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Take up a state that ``state_dict`` of the same kind of runtime returned."""
        raise NotImplementedError

    def left_behind(self, state: Dict[str, Any]) -> LeftBehind:
        """Return what ``load_state_dict`` would leave behind of a state, for instance of another device's."""
        return LeftBehind()

    def change_stage(self, change: StageChange) -> bool:
        """Go on with another stage's batches, mixing and dropout; earlier loaders are ended.

        False: this runtime is compiled for its stage, and must be built anew.
        """
        return False

    def averaged_weights(self) -> Optional[Weights]:
        """Return the average over all updates; None where this runtime does not see every update."""
        return None

    def close(self) -> None:
        """Give the device back, and end what loads for it."""


def eval_result(labels: Tensor, loss: Tensor, rank: Tensor, prediction: Tensor) -> EvalResult:
    """Add up the per-image outputs of ``EvalGraph`` over valid images, in float64."""
    valid = labels >= 0
    loss, rank = loss[valid].double(), rank[valid]
    found = rank >= 1  # rank 0: the logits were not numbers
    return EvalResult(
        loss_sum=float(loss.sum()),
        correct=float((found & (rank <= 1)).sum()),
        correct_top5=float((found & (rank <= 5)).sum()),
        samples=int(valid.sum()),
        labels=_ints(labels[valid]),
        predictions=_ints(prediction[valid]),
    )


def copy_to_host(weights: Dict[str, Tensor]) -> Weights:
    """Return detached host copies that later updates do not change."""
    return {name: value.detach().to("cpu", copy=True) for name, value in weights.items()}


def _ints(values: Tensor) -> Tuple[int, ...]:
    listed: List[int] = values.to(torch.int64).tolist()
    return tuple(listed)
