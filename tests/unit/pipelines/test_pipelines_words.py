"""One of something is no plural."""

from __future__ import annotations

import pytest

from pipelines.words import counted


@pytest.mark.parametrize(
    "number, noun, said",
    [
        *(
            (1, "class", "1 class"),
            (2, "class", "2 classes"),
            (0, "shard", "0 shards"),
            (1, "core", "1 core"),
        ),
        *((2, "epoch", "2 epochs"), (1, "epoch", "1 epoch"), (3, "micro-batch", "3 micro-batches")),
    ],
)
def test_counted(number: int, noun: str, said: str) -> None:
    assert counted(number, noun) == said
