"""PopTorch's asynchronous loader, kept in step with the epochs of the training.

Its process gets a copy of the sampler when it starts, and loads the next epoch ahead of being asked: what the
training later tells its own sampler never arrives there. So the copy counts epochs by itself, from the one
that was set when the first iteration began.
"""

from __future__ import annotations

import copy
from typing import Any, Callable, Iterator, Optional

from ipu_app.runtime.base import Batch

MakeLoader = Callable[[Any], Any]  # from a sampler to a poptorch.DataLoader


class EpochLoader:
    """Iterates over the epoch that ``sampler`` is set to; its loader is made by the first iteration.

    Another than the next epoch, an epoch that is begun in the middle, or one after an epoch that was not read
    to its end, starts a new loader.
    """

    def __init__(self, make: MakeLoader, sampler: Any) -> None:
        self._make, self._sampler = make, sampler
        self._loader: Optional[Any] = None
        self._next_epoch: Optional[int] = None

    def __len__(self) -> int:
        """Batches of this instance in the epoch that is set."""
        batches: int = self._sampler.num_batches - self._sampler.first_batch
        return batches

    def __iter__(self) -> Iterator[Batch]:
        epoch = self._sampler.epoch
        if self._next_epoch != epoch or self._sampler.first_batch:
            self.terminate()
            counting = copy.copy(self._sampler)
            counting.counts_epochs = True
            self._loader = self._make(counting)
        self._next_epoch = None
        yield from self._loader  # type: ignore[misc]
        self._next_epoch = epoch + 1

    def terminate(self) -> None:
        """End the loader's process."""
        if self._loader is not None:
            self._loader.terminate()
        self._loader = None
