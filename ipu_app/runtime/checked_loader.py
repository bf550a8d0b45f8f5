"""Loaders whose processes report what is wrong with the data as they would in this one: in one line."""

from __future__ import annotations

from typing import Any, Iterable, Iterator

from ipu_app.runtime.base import Batch


class CheckedLoader:
    """A loader over ``dataset``, whose ``failure()`` tells what ended its processes' work, or ''.

    An exception of a loader's process arrives wrapped in its traceback, or (PopTorch) is printed there and
    lost; so the data set keeps the line where this process sees it.
    """

    def __init__(self, loader: Iterable[Batch], dataset: Any) -> None:
        self._loader, self._dataset = loader, dataset

    def __len__(self) -> int:
        return len(self._loader)  # type: ignore[arg-type]

    @property
    def num_workers(self) -> int:
        """Its processes."""
        return int(self._loader.num_workers)  # type: ignore[attr-defined]

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._loader:
            problem = self._dataset.failure()
            if problem:
                raise ValueError(problem)
            yield batch
