"""Which sample goes where: the order of an epoch and the part of it that one instance sees.

Everything here is a pure function of (seed, epoch, geometry, instance), so an epoch can be repeated, resumed
in the middle or spread over another number of instances without changing what one weight update sees.

Words: a *key* is ``epoch * num_samples + index``; the dataset turns it back with ``divmod`` and draws the
sample's augmentation from (seed, key) alone. A key of -1 is padding: a masked row that counts for nothing.
"""

from __future__ import annotations

from typing import Iterator, Optional, Sequence

import numpy as np
from torch.utils.data import Sampler

from pipelines.geometry import BatchGeometry

PADDING_KEY = -1
_ORDER_STREAM = 0x0E90C4  # keeps the order's random numbers apart from those of the samples
_SHARDS_PER_WINDOW = 8  # shards mixed with each other where samples lie in shards


def epoch_order(
    num_samples: int, *, seed: int, epoch: int, shard_sizes: Optional[Sequence[int]] = None
) -> np.ndarray:
    """Permutation of ``range(num_samples)``, int64: the shuffled order of one epoch over the whole job.

    With ``shard_sizes`` (samples of each shard, in storage order) the order is drawn in windows: shards are
    permuted, then the samples of eight neighbouring ones are mixed, so that reading stays local.
    """
    draw = np.random.Generator(np.random.Philox(key=[(seed ^ _ORDER_STREAM) & (2**64 - 1), epoch]))
    if shard_sizes is None:
        return draw.permutation(num_samples)
    if sum(shard_sizes) != num_samples:
        raise ValueError(f"shard_sizes: they hold {sum(shard_sizes)} samples, not {num_samples}")
    starts = np.concatenate([[0], np.cumsum(shard_sizes)])
    shards = draw.permutation(len(shard_sizes))
    windows = [
        np.concatenate([np.arange(starts[s], starts[s + 1]) for s in shards[i : i + _SHARDS_PER_WINDOW]])
        for i in range(0, len(shards), _SHARDS_PER_WINDOW)
    ]
    return np.concatenate([draw.permutation(window) for window in windows])


class InstanceSampler(Sampler):
    """Yields the keys of one instance, in the order in which its runtime calls take them.

    The epoch's order, common to the whole job, is laid out as [calls, D, A, R_total, micro] (device
    iterations, accumulation, replicas of all instances); instance i takes replicas [i*R, (i+1)*R). Every
    instance therefore makes the same number of calls, and any split of the same replicas over instances gives
    the same steps.

    ``drop_last=True`` (training) leaves out the samples that do not fill a call: other ones in every epoch. A
    data set smaller than one call is repeated to fill one. ``drop_last=False`` (validation) pads the last
    call with -1.

    With ``counts_epochs`` each iteration goes on to the next epoch by itself: for a copy in a process that
    ``set_epoch`` does not reach.
    """

    def __init__(
        self,
        num_samples: int,
        geometry: BatchGeometry,
        instance: int = 0,
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = True,
        *,
        shard_sizes: Optional[Sequence[int]] = None,
    ) -> None:
        if num_samples < 1:
            raise ValueError(f"num_samples={num_samples}: a data set needs at least one image")
        if not 0 <= instance < geometry.instances:
            raise ValueError(f"instance={instance}: must be 0 to {geometry.instances - 1}")
        self.num_samples, self.geometry, self.instance = num_samples, geometry, instance
        self.seed, self.shuffle, self.drop_last = seed, shuffle, drop_last
        self.shard_sizes = None if shard_sizes is None else tuple(int(size) for size in shard_sizes)
        self.epoch = 0
        self.first_batch = 0
        self.counts_epochs = False

    def set_epoch(self, epoch: int, first_batch: int = 0) -> None:
        """The epoch that the next iteration yields, from its runtime call ``first_batch`` on (to resume)."""
        if epoch < 0 or not 0 <= first_batch <= self.num_batches:
            raise ValueError(f"epoch={epoch}, first_batch={first_batch}: allowed 0.., 0..{self.num_batches}")
        self.epoch, self.first_batch = epoch, first_batch

    @property
    def num_batches(self) -> int:
        """Runtime calls per epoch, the same on every instance."""
        per_call = self.geometry.samples_per_call
        return max(1, self.num_samples // per_call) if self.drop_last else -(-self.num_samples // per_call)

    def keys(self) -> np.ndarray:
        """Keys of this epoch and instance, shape (num_batches * samples_per_batch,), int64."""
        g = self.geometry
        total = self.num_batches * g.samples_per_call
        order = np.arange(self.num_samples)
        if self.shuffle:
            order = epoch_order(
                self.num_samples, seed=self.seed, epoch=self.epoch, shard_sizes=self.shard_sizes
            )
        keys = self.epoch * self.num_samples + order
        if self.drop_last:
            keys = np.resize(keys, total)  # cuts, or repeats a data set smaller than one call
        else:
            keys = np.concatenate([keys, np.full(total - len(keys), PADDING_KEY)])
        layout = keys.reshape(-1, g.device_iterations, g.accumulation, g.total_replicas, g.micro_batch)
        first = self.instance * g.replicas
        return layout[:, :, :, first : first + g.replicas].reshape(-1)

    def __iter__(self) -> Iterator[int]:
        keys = self.keys()[self.first_batch * self.geometry.samples_per_batch :].tolist()
        if self.counts_epochs:
            self.set_epoch(self.epoch + 1)
        return iter(keys)

    def __len__(self) -> int:
        return (self.num_batches - self.first_batch) * self.geometry.samples_per_batch
