"""poptorch.AsynchronousDataAccessor: iterates over data that another process loads ahead."""

from __future__ import annotations

import atexit
import contextlib
import os
import pickle
import tempfile
import weakref
from typing import Any, Optional, Tuple, Union

import torch
import torch.multiprocessing

from .._errors import py_error
from ..enums import SharingStrategy
from .async_worker import Settings, layout_of, serve

_START_METHODS = {SharingStrategy.Fork: "fork", SharingStrategy.ForkServer: "forkserver"}


class AsynchronousDataAccessor:
    """Loads a dataset or DataLoader in one process of its own, ``buffer_size`` items ahead.

    Items are views of shared buffers: each is valid until the next one is asked for. ``load_indefinitely``
    starts on the next epoch as soon as one is loaded; ``early_preload`` does not wait for the first iterator.
    ``rebatched_size`` joins and cuts items to that many rows. The wait for free buffers blocks, so
    ``miss_sleep_time_in_ms`` has no effect here.
    """

    def __init__(  # noqa: PLR0913 - PopTorch's signature
        self,
        dataset: Union[torch.utils.data.Dataset, torch.utils.data.DataLoader],
        buffer_size: int = 3,
        miss_sleep_time_in_ms: float = 0.1,
        load_indefinitely: bool = True,
        early_preload: bool = False,
        sharing_strategy: SharingStrategy = SharingStrategy.ForkServer,
        rebatched_size: Optional[int] = None,
    ) -> None:
        if getattr(dataset, "_accessor", None) is not None:
            raise py_error("The DataLoader already has an AsynchronousDataAccessor: use DataLoaderMode.Sync")
        assert rebatched_size is None or rebatched_size > 1, "rebatched_size must be None or greater than 1"
        _check_remainders(dataset, rebatched_size)
        self._dataset = dataset
        self.rebatched_size = rebatched_size
        drop_last = getattr(dataset, "rebatched_drop_last", True)
        settings = Settings(buffer_size, load_indefinitely, early_preload, rebatched_size, drop_last)
        self._load_indefinitely = load_indefinitely
        self._connection, self._process = _start(dataset, settings, sharing_strategy)
        self._finalizer = weakref.finalize(self, _end, self._connection, self._process)
        # Before multiprocessing's own exit handler, which would wait for the process.
        atexit.register(self._finalizer)
        self._layout, self._ring = self._receive_ring()
        self._epoch: Tuple[int, int] = (0, 0)
        self._needs_start = not early_preload
        self._held: Optional[int] = None
        self._is_untouched = True
        self._is_finished = False

    def __len__(self) -> int:
        return len(self._dataset)

    def __iter__(self) -> AsynchronousDataAccessor:
        if self._is_finished:
            self._epoch = (self._epoch[0], self._epoch[1] + 1)
            self._needs_start = not self._load_indefinitely
        elif not self._is_untouched:
            self._held = None
            self._epoch = (self._epoch[0] + 1, 0)
            self._send(("reset", self._epoch[0]))
            self._needs_start = False
        if self._needs_start:
            self._send(("start",))
            self._needs_start = False
        self._is_untouched, self._is_finished = True, False
        return self

    def __next__(self) -> Any:
        if self._is_finished:
            raise StopIteration
        if self._held is not None:
            self._held = self._release()
        self._is_untouched = False
        if self._needs_start:
            self.__iter__()
            self._is_untouched = False
        message = self._receive()
        while message[1] != self._epoch:
            message = self._receive()
        if message[0] == "end":
            self._is_finished = True
            raise StopIteration
        _, _, self._held, rows = message
        views = [t[self._held, :rows] if t.dim() > 1 else t[self._held] for t in self._ring]
        return layout_of(self._layout, views)

    def terminate(self) -> None:
        """End the loading process."""
        finalizer = getattr(self, "_finalizer", None)
        if finalizer is not None:
            atexit.unregister(finalizer)
            finalizer()

    def _release(self) -> None:
        self._send(("free", self._held))

    def _send(self, message: Tuple[Any, ...]) -> None:
        try:
            self._connection.send(message)
        except OSError as error:
            raise AssertionError("An error occurred in the data fetcher") from error

    def _receive(self) -> Any:
        try:
            return self._connection.recv()
        except (EOFError, OSError) as error:
            raise AssertionError("An error occurred in the data fetcher") from error

    def _receive_ring(self) -> Tuple[Any, Any]:
        try:
            _, layout, ring = self._connection.recv()
        except (EOFError, ConnectionResetError):
            self.terminate()
        else:
            return layout, ring
        raise py_error("AsynchronousDataAccessor worker thread failed to start (Check above for details)")


def _check_remainders(dataset: Any, rebatched_size: Optional[int]) -> None:
    """A loader's incomplete last batches fit no buffer: unless they are joined, an AssertionError."""
    combined = getattr(dataset, "combinedBatchSize", None)
    is_plain = combined is not None and getattr(dataset, "_joined_batches", 1) == 1
    if is_plain and not dataset.drop_last and rebatched_size is None:
        assert combined == 1, (
            "The 'drop_last=False' option from the DataLoader only works if 'rebatched_size' is specified "
            "too."
        )


def _start(dataset: Any, settings: Settings, strategy: SharingStrategy) -> Tuple[Any, Any]:
    context = torch.multiprocessing.get_context(_START_METHODS.get(strategy, "spawn"))
    if strategy == SharingStrategy.ForkServer:
        # Imports torch once in the server, not once in every process forked from it.
        context.set_forkserver_preload(["__main__", serve.__module__])
    parent, child = context.Pipe(duplex=True)
    with tempfile.TemporaryDirectory() as folder:
        if strategy == SharingStrategy.FileSystem:
            path = os.path.join(folder, "dataset.pickle")
            with open(path, "wb") as file:
                pickle.dump(dataset, file)
            dataset = path
        # Not a daemon: it may have to start loading processes of its own.
        process = context.Process(target=serve, args=(child, dataset, settings))
        process.start()
        child.close()
        # The folder must outlive the reading of the file: the first message comes after it.
        if strategy == SharingStrategy.FileSystem:
            parent.poll(None)
    return parent, process


def _end(connection: Any, process: Any) -> None:
    """Ask the process to end; make it, if it does not within five seconds."""
    with contextlib.suppress(OSError):  # a broken pipe: the process has ended already
        connection.send(("stop",))
    connection.close()
    process.join(timeout=5)
    if process.is_alive():
        process.terminate()
        process.join()
