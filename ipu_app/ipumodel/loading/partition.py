"""Which samples a process and a call get: the distributed partition and the grouping of a user's batches."""

from __future__ import annotations

from typing import Any, Iterable, Iterator, List, Optional, Tuple

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


def joined(batches: Iterable[Any], count: int, drop_last: bool) -> Iterator[Any]:
    """Join each ``count`` collated batches along dim 0, of tensors as of those in lists, tuples and
    dictionaries; a remainder is joined as well, unless it is dropped.
    """
    waiting: List[Any] = []
    for batch in batches:
        waiting.append(batch)
        if len(waiting) == count:
            yield _concatenated(waiting)
            waiting = []
    if waiting and not drop_last:
        yield _concatenated(waiting)


def _concatenated(batches: List[Any]) -> Any:
    first = batches[0]
    if isinstance(first, torch.Tensor):
        return torch.cat(batches)
    if isinstance(first, dict):
        return type(first)((key, _concatenated([batch[key] for batch in batches])) for key in first)
    if isinstance(first, (list, tuple)):
        parts = [_concatenated(list(items)) for items in zip(*batches)]
        return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
    return first


def length_of(batch_sampler: Any) -> Optional[int]:
    """How many batches a sampler gives, None if it does not say."""
    try:
        found = len(batch_sampler)
    except (TypeError, NotImplementedError):
        return None
    return None if found is NotImplemented else found


def samples_per_call(options: Options) -> Tuple[int, int]:
    """(micro-batches per call and process, processes): D * (R / group) * A and P."""
    replicas = options.replication_factor // options.input_group_size
    micro_batches = options.device_iterations * replicas * options.Training.gradient_accumulation
    return micro_batches, options.Distributed.numProcesses
