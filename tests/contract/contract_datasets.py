"""Datasets for tests that load in other processes: they must be importable there."""

from __future__ import annotations

from typing import Any, Iterator

import torch


class Numbers(torch.utils.data.Dataset):
    """Item i holds the number i, in the form asked for: pair, single or dict."""

    def __init__(self, count: int, form: str = "pair") -> None:
        self.count = count
        self.form = form

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        value = torch.tensor(int(index))
        if self.form == "single":
            return value
        if self.form == "dict":
            return {"number": value, "square": value * value}
        return torch.full((2, 2), float(index)), value


class Broken(Numbers):
    """Fails at item 12."""

    def __getitem__(self, index: int) -> Any:
        if index == 12:
            raise OSError("unreadable")
        return super().__getitem__(index)


class Stream(torch.utils.data.IterableDataset):
    """The numbers below ``count``, without a length."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self) -> Iterator[torch.Tensor]:
        return (torch.tensor(i) for i in range(self.count))


class Whole(torch.utils.data.IterableDataset):
    """Batches that are combined already; ``rows`` gives their lengths."""

    def __init__(self, *rows: int) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[torch.Tensor]:
        start = 0
        for rows in self.rows:
            yield torch.arange(start, start + rows)
            start += rows


class Unpicklable(Numbers):
    """Can not be sent to another process."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.function = lambda value: value
