"""What of the data is not used: by the looks of it at the start, and found out while images were read."""

from __future__ import annotations

from typing import Callable, List, Mapping, Optional, Sequence

import numpy as np
import torch
from torch import Tensor

from pipelines.door import shown
from pipelines.words import counted

from .datasets import ImageDataset

AllSum = Callable[[Tensor], Tensor]


def data_problems(datasets: Mapping[str, ImageDataset]) -> List[str]:
    """Return what is wrong with the data by the looks of their folders, before any image is read."""
    problems = [problem for dataset in datasets.values() for problem in dataset.source.problems]
    if any(dataset.num_classes == 1 for dataset in datasets.values()):
        problems.append("there is only one class: nothing to tell apart, and so nothing to learn")
    return problems


def skipped_notes(datasets: Mapping[str, ImageDataset], all_sum: Optional[AllSum] = None) -> List[str]:
    """Return which images turned out to be unreadable so far, by all processes of a job (``all_sum``: all
    of them must ask).
    """
    notes = []
    for split, dataset in datasets.items():
        bad = dataset.unreadable.to(torch.float64)
        found = np.flatnonzero((all_sum(bad) if all_sum else bad).numpy())
        if len(found):
            names = ", ".join(dataset.source.name(int(index)) for index in found[:3])
            notes.append(f"{split}: {counted(len(found), 'unreadable image')} skipped ({names})")
        notes += [f"{split}: {line}" for line in _lost_classes(dataset, found)]
    return notes


def _lost_classes(dataset: ImageDataset, unreadable: Sequence[int]) -> List[str]:
    """Classes of which no image could be read."""
    labels = dataset.source.labels()
    if labels is None or not len(unreadable):
        return []
    total = np.bincount(labels, minlength=dataset.num_classes)
    lost = np.bincount(labels[np.asarray(unreadable)], minlength=dataset.num_classes)
    gone = np.flatnonzero((total > 0) & (lost == total)).tolist()
    if not gone:
        return []
    names = ", ".join(shown(dataset.classes[label], 80) for label in gone[:5])
    return [f"no image can be read of {counted(len(gone), 'class')}: {names}"]
