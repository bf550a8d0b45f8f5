"""What is known of the images of a run before any of them is read: by their lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

from ipu_app.data.datasets import ImageDataset
from ipu_app.data.unused import data_problems
from pipelines.words import counted


@dataclass(frozen=True)
class DataFacts:
    """How many images, of which classes; ``content`` identifies them, wherever they are.

    ``whole_images``: of a few dozen pixels, resized whole; ``problems``: what is wrong with them at first
    sight, a line each.
    """

    num_train: int
    num_val: int
    classes: Tuple[str, ...]
    description: str
    content: str
    whole_images: bool = False
    problems: Tuple[str, ...] = ()


def data_facts(train_set: ImageDataset, val_set: ImageDataset) -> DataFacts:
    """Return what the lists of both splits say."""
    return DataFacts(
        num_train=len(train_set),
        num_val=len(val_set),
        classes=tuple(train_set.classes),
        description=f"{train_set.describe()}; validation: {counted(len(val_set), 'image')}",
        content=f"train: {train_set.content()}\nval: {val_set.content()}",
        whole_images=train_set.source.small,
        problems=tuple(data_problems({"train": train_set, "val": val_set})),
    )
