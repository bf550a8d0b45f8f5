"""Which samples a process and a call get: the distributed partition and the grouping of a user's batches."""

from __future__ import annotations

from typing import Any, Iterator, List, Optional, Tuple

import torch

from ..options import Options


class SubDataset(torch.utils.data.Dataset):
    """One process's contiguous part of a map-style dataset; all parts have whole calls when ``drop_last``.

    With ``shuffle`` every process draws the same permutation of the whole dataset each epoch and takes its
    part of that; the samples left over at the end change places with those at the start every second epoch.
    """

    def __init__(self, dataset: Any, options: Options, step: int, *, drop_last: bool, shuffle: bool) -> None:
        self.dataset = dataset
        count, process = options.Distributed.numProcesses, options.Distributed.processId
        if drop_last:
            self._length = step * (len(dataset) // (step * count))
            self._start = process * self._length
            # A dataset too small for one call in every process ends here, as in PopTorch: division by zero.
            self._leftovers = len(dataset) % self._length
        else:
            share, extra = divmod(len(dataset), count)
            self._length = share + (1 if process < extra else 0)
            self._start = process * share + min(process, extra)
            self._leftovers = 0
        self._seed = options.random_seed if shuffle else None
        self._epoch = 0
        # In shared memory, so that persistent workers see each epoch's order: permutation, then the offset.
        self._order: Optional[torch.Tensor] = None
        if shuffle:
            self._order = torch.zeros(len(dataset) + 1, dtype=torch.int64).share_memory_()

    def next_epoch(self) -> None:
        """Draw the order of the next epoch."""
        if self._order is None:
            return
        generator = torch.Generator()
        generator.manual_seed(self._seed)
        for _ in range(self._epoch + 1):
            permutation = torch.randperm(len(self.dataset), generator=generator)
        self._order[:-1] = permutation
        self._order[-1] = self._start + (self._leftovers if self._epoch % 2 == 0 else 0)
        self._epoch += 1

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Any:
        if self._order is None:
            return self.dataset[index + self._start]
        return self.dataset[int(self._order[index + int(self._order[-1])])]


class CombinedBatchSampler:
    """Concatenates a user's batches, as many as one call needs."""

    def __init__(self, batch_sampler: Any, batches_per_call: int, drop_last: bool) -> None:
        self._batch_sampler = batch_sampler
        self._batches_per_call = batches_per_call
        self._drop_last = drop_last

    def __iter__(self) -> Iterator[List[Any]]:
        combined: List[Any] = []
        count = 0
        for batch in self._batch_sampler:
            combined.extend(batch)
            count += 1
            if count == self._batches_per_call:
                yield combined
                combined, count = [], 0
        if combined and not self._drop_last:
            yield combined

    def __len__(self) -> int:
        whole, rest = divmod(len(self._batch_sampler), self._batches_per_call)
        return whole + (1 if rest and not self._drop_last else 0)


def samples_per_call(options: Options) -> Tuple[int, int]:
    """(micro-batches per call and process, processes): D * (R / group) * A and P."""
    replicas = options.replication_factor // options.input_group_size
    micro_batches = options.device_iterations * replicas * options.Training.gradient_accumulation
    return micro_batches, options.Distributed.numProcesses
