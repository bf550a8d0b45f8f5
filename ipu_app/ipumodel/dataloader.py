"""poptorch.DataLoader: torch's DataLoader that delivers what one call of a model takes.

``batch_size`` is the micro-batch; a delivered batch has batch_size * D * (R / group) * A rows.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, Iterator, Optional, Sequence, Union

import torch

from ._errors import py_error
from ._logging import logger
from .enums import DataLoaderMode
from .loading.async_data import AsynchronousDataAccessor as AsynchronousDataAccessor
from .loading.partition import SubDataset, joined, length_of, samples_per_call
from .options import Options


class DataLoader(torch.utils.data.DataLoader):
    """Delivers combined batches, in distributed runs those of this process; freezes ``options``.

    Unlike torch's, ``drop_last`` is True by default. AssertionError: no Options; a distributed shuffle
    without randomSeed, distributed without batch_size or with an IterableDataset; too large a
    rebatched_worker_size.
    Error: batch_sampler together with batch_size, shuffle or automatic partitioning over processes.
    """

    def __init__(  # noqa: PLR0913 - PopTorch's signature
        self,
        options: Options,
        dataset: torch.utils.data.Dataset,
        batch_size: int = 1,
        shuffle: bool = None,
        num_workers: int = 0,
        drop_last: bool = True,
        persistent_workers: Optional[bool] = None,
        auto_distributed_partitioning: bool = True,
        mode: DataLoaderMode = DataLoaderMode.Sync,
        async_options: Optional[Dict[str, Any]] = None,
        rebatched_worker_size: Optional[int] = None,
        batch_sampler: Optional[Union[torch.utils.data.Sampler[Sequence], Iterable[Sequence]]] = None,
        **kwargs: Any,
    ) -> None:
        assert isinstance(options, Options), f"DataLoader takes poptorch.Options, not {type(options)}"
        options._freeze()
        self._accessor: Optional[AsynchronousDataAccessor] = None
        self._combined_batch_size = _combined_size(options, batch_size, batch_sampler)
        if batch_size is not None:
            self._options = options
        is_partitioned = options.Distributed.numProcesses > 1 and auto_distributed_partitioning
        if batch_sampler is not None:
            _check_batch_sampler(batch_size, shuffle, is_partitioned)
            kwargs["batch_sampler"] = batch_sampler
            self._joined_batches, self._joined_drop_last = samples_per_call(options)[0], drop_last
            self._warn_of_short_call(batch_sampler)
        elif is_partitioned:
            dataset = self._partition(dataset, options, bool(shuffle), drop_last)
            shuffle = False
        _warn_of_repeated_items(dataset, num_workers, kwargs)
        size = self._loaded_size(mode, drop_last, rebatched_worker_size)
        if batch_sampler is None:
            self._warn_of_short_batch(dataset, drop_last)
            kwargs.update(batch_size=size, shuffle=shuffle, drop_last=drop_last and not self.rebatched_size)
        super().__init__(
            dataset,
            num_workers=num_workers,
            persistent_workers=num_workers > 0 if persistent_workers is None else persistent_workers,
            **kwargs,
        )
        if mode != DataLoaderMode.Sync:
            self._accessor = self._make_accessor(async_options or {})

    #: batches of a batch_sampler that one call of the model takes
    _joined_batches = 1
    _joined_drop_last = True

    #: rows the asynchronous process assembles; None if it passes items on as loaded
    rebatched_size: Optional[int] = None
    #: what that process does with a remainder
    rebatched_drop_last = True

    @property
    def combinedBatchSize(self) -> Optional[int]:
        """Samples taken from the dataset by one call of the model in this process; None without
        batch_size."""
        return self._combined_batch_size

    @property
    def options(self) -> Options:
        """The options given; not set if batch_size is None."""
        return self._options

    def terminate(self) -> None:
        """End the asynchronous process, if there is one."""
        if self.__dict__.get("_accessor") is not None:
            self._accessor.terminate()

    def __len__(self) -> int:
        if not self.rebatched_size:
            return super().__len__()
        whole, rest = divmod(len(self.dataset), self.rebatched_size)
        return whole + (1 if rest and not self.rebatched_drop_last else 0)

    def __iter__(self) -> Iterator[Any]:
        if self._accessor is not None:
            return iter(self._accessor)
        if isinstance(self.dataset, SubDataset):
            self.dataset.next_epoch()
        if self._joined_batches > 1:
            return joined(super().__iter__(), self._joined_batches, self._joined_drop_last)
        return super().__iter__()

    def __del__(self) -> None:
        self.terminate()

    def _partition(self, dataset: Any, options: Options, shuffle: bool, drop_last: bool) -> SubDataset:
        assert not isinstance(dataset, torch.utils.data.IterableDataset), (
            "auto_distributed_partitioning is not supported for an IterableDataset"
        )
        assert not shuffle or options.exists("random_seed"), (
            "Set poptorch.Options.randomSeed() to shuffle in a distributed run: all processes need the "
            "same order"
        )
        assert self._combined_batch_size is not None, (
            "batch_size=None: not with auto_distributed_partitioning"
        )
        return SubDataset(dataset, options, self._combined_batch_size, drop_last=drop_last, shuffle=shuffle)

    def _warn_of_short_batch(self, dataset: Any, drop_last: bool) -> None:
        combined = self._combined_batch_size
        if drop_last or combined is None or isinstance(dataset, torch.utils.data.IterableDataset):
            return
        if len(dataset) % combined:
            logger.warning(
                "The number of elements in the dataset (%d) is not divisible by the number of elements "
                "processed per step (%d) and drop_last=False. The last tensor will have a batch size of %d. "
                "To avoid having to handle this special case switch to drop_last=True",
                len(dataset),
                combined,
                len(dataset) % combined,
            )

    def _warn_of_short_call(self, batch_sampler: Any) -> None:
        count, length = self._joined_batches, length_of(batch_sampler)
        if self._joined_drop_last or length is not None and length % count == 0:
            return
        if length is None:
            logger.warning(
                "The `batch_sampler` __len__ method is not implemented and drop_last=False. The last tensor "
                "may be incomplete - batch size < %d. To avoid having to handle this special case switch to "
                "drop_last=True.",
                count,
            )
        else:
            logger.warning(
                "The number of batches generated by the batch sampler (%d) is not divisible by the number of "
                "batches elements processed per step (%d) and drop_last=False. The last tensor will hold %d. "
                "To avoid having to handle this special case switch to drop_last=True.",
                length,
                count,
                length % count,
            )

    def _loaded_size(
        self, mode: DataLoaderMode, drop_last: bool, worker_size: Optional[int]
    ) -> Optional[int]:
        """Rows torch's loader makes per batch; sets ``rebatched_size`` where that is not the combined
        batch."""
        combined = self._combined_batch_size
        is_short = mode == DataLoaderMode.Async and not drop_last and (combined or 0) > 1
        if mode == DataLoaderMode.AsyncRebatched or is_short:
            self.rebatched_size = combined
            self.rebatched_drop_last = drop_last
        if mode != DataLoaderMode.AsyncRebatched or worker_size is None:
            return combined
        assert combined is not None and worker_size <= combined, (
            f"rebatched_worker_size={worker_size}: must be <= the combined batch size, which is {combined}"
        )
        return worker_size

    def _make_accessor(self, async_options: Dict[str, Any]) -> AsynchronousDataAccessor:
        assert "rebatched_size" not in async_options, (
            "You cannot use DataLoaderMode.AsyncRebatched and manually specify the rebatched_size in "
            "async_options"
        )
        return AsynchronousDataAccessor(self, **async_options, rebatched_size=self.rebatched_size)


def _combined_size(options: Options, batch_size: Optional[int], batch_sampler: Any) -> Optional[int]:
    if batch_sampler is not None:
        batch_size = getattr(batch_sampler, "batch_size", batch_size)
    if batch_size is None:
        return None
    return batch_size * samples_per_call(options)[0]


def _warn_of_repeated_items(dataset: Any, num_workers: int, kwargs: Dict[str, Any]) -> None:
    is_iterable = isinstance(dataset, torch.utils.data.IterableDataset)
    if is_iterable and num_workers > 1 and "worker_init_fn" not in kwargs:
        logger.warning(
            "IterableDataset used with num_workers=%d but no worker_init_fn specified: as a result the "
            "DataLoader will return %d times each element in the dataset (See "
            "torch.utils.data.IterableDataset's documentation for more information)",
            num_workers,
            num_workers,
        )


def _check_batch_sampler(batch_size: Optional[int], shuffle: Optional[bool], is_partitioned: bool) -> None:
    if batch_size not in (1, None) or shuffle:
        raise py_error("batch_sampler is mutually exclusive with batch_size and shuffle")
    if is_partitioned:
        raise py_error("batch_sampler: pass auto_distributed_partitioning=False in a distributed run")
