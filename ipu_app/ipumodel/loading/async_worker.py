"""The process that loads data ahead into a ring of shared-memory buffers.

Messages to it: (free, slot), (start, round), (reset, round), (stop,). Messages from it: (ring, layout,
tensors), then (item, epoch id, slot, rows) and (end, epoch id). An epoch id is (round, epoch): the parent
opens a new round to start over, and drops what an older round still sends.
"""

from __future__ import annotations

import pickle
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

import torch

from .._errors import py_error

Tensors = List[torch.Tensor]


class Settings(NamedTuple):
    """What the accessor was asked for."""

    buffer_size: int
    load_indefinitely: bool
    early_preload: bool
    rebatched_size: Optional[int]
    drop_last: bool


class _Reset(Exception):
    """The parent wants the epoch from the start."""


class _Stop(Exception):
    """The parent wants the process to end."""


def serve(connection: Any, dataset: Any, settings: Settings) -> None:
    """Entry point of the process; ``dataset`` may be the name of a file that holds it pickled."""
    if isinstance(dataset, str):
        with open(dataset, "rb") as file:
            dataset = pickle.load(file)
    try:
        _Worker(connection, dataset, settings).run()
    except (_Stop, EOFError, BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
        connection.close()


class _Worker:
    """Loads epochs, one slot of the ring per item, and obeys the parent between items."""

    def __init__(self, connection: Any, dataset: Any, settings: Settings) -> None:
        self._connection = connection
        self._dataset = dataset
        self._settings = settings
        self._free = list(range(settings.buffer_size))
        self._epoch = (0, 0)
        self._starts = 1 if settings.early_preload else 0

    def run(self) -> None:
        items: Optional[Iterator[Tensors]] = self._announce()
        while True:
            try:
                while not self._starts:
                    self._obey(self._connection.recv())
                self._starts -= 1
                self._load(self._items() if items is None else items)
                self._connection.send(("end", self._epoch))
                self._epoch = (self._epoch[0], self._epoch[1] + 1)
                self._starts += 1 if self._settings.load_indefinitely else 0
            except _Reset:
                pass
            items = None

    def _announce(self) -> Iterator[Tensors]:
        """Send the ring, made after the first item, and return the first epoch."""
        items = self._items()
        first = next(items, None)
        if first is None:
            raise py_error("The Dataset is empty")
        size = (self._settings.buffer_size,)
        self._ring = [torch.zeros(size + tuple(t.shape), dtype=t.dtype).share_memory_() for t in first]
        self._connection.send(("ring", self._layout, self._ring))
        return _chain(first, items)

    def _load(self, items: Iterator[Tensors]) -> None:
        for tensors in items:
            while self._connection.poll():
                self._obey(self._connection.recv())
            while not self._free:
                self._obey(self._connection.recv())
            slot = self._free.pop(0)
            rows = tensors[0].shape[0] if tensors[0].dim() else 1
            for target, tensor in zip(self._ring, tensors):
                (target[slot, :rows] if tensor.dim() else target[slot]).copy_(tensor)
            self._connection.send(("item", self._epoch, slot, rows))

    def _obey(self, message: Tuple[Any, ...]) -> None:
        if message[0] == "stop":
            raise _Stop
        if message[0] == "free":
            self._free.append(message[1])
        elif message[0] == "start":
            self._starts += 1
        else:
            self._epoch = (message[1], 0)
            self._free = list(range(self._settings.buffer_size))
            self._starts = 1
            raise _Reset

    def _items(self) -> Iterator[Tensors]:
        """One epoch of flat tensor lists, rebatched if asked for."""
        flat = (self._flatten(item) for item in self._dataset)
        if self._settings.rebatched_size is None:
            return flat
        return _rebatch(flat, self._settings.rebatched_size, self._settings.drop_last)

    def _flatten(self, item: Any) -> Tensors:
        self._layout: Any = None
        if isinstance(item, torch.Tensor):
            self._layout = "single"
            item = [item]
        elif isinstance(item, dict):
            self._layout = list(item)
            item = list(item.values())
        for index, tensor in enumerate(item):
            assert isinstance(tensor, torch.Tensor), (
                f"Element {index} is a {type(tensor)}: AsynchronousDataAccessor takes a flat "
                "container of tensors"
            )
        return list(item)


def _chain(first: Tensors, rest: Iterator[Tensors]) -> Iterator[Tensors]:
    yield first
    yield from rest


def _rebatch(items: Iterator[Tensors], size: int, drop_last: bool) -> Iterator[Tensors]:
    """Cut a stream of batches into batches of ``size`` rows."""
    pending: Tensors = []
    for tensors in items:
        pending = [torch.cat(pair) for pair in zip(pending, tensors)] if pending else tensors
        while pending[0].shape[0] >= size:
            yield [tensor[:size] for tensor in pending]
            pending = [tensor[size:] for tensor in pending]
    if pending and pending[0].shape[0] and not drop_last:
        yield pending


def layout_of(layout: Any, tensors: Tensors) -> Any:
    """Give a flat list of tensors the form the dataset's items have; tuples become lists."""
    if layout == "single":
        return tensors[0]
    if isinstance(layout, list):
        named: Dict[str, torch.Tensor] = dict(zip(layout, tensors))
        return named
    return tensors
