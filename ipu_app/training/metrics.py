"""Sums that add up over batches and instances, and the means and rates made of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable, Dict, List, Mapping, Sequence

from ipu_app.runtime.base import BatchResult, EvalResult


@dataclass
class TrainMeter:
    """Training sums since the last report; ``seconds`` is time spent in and between its batches."""

    loss_sum: float = 0.0
    correct: float = 0.0
    samples: int = 0

    def add(self, result: BatchResult) -> None:
        """Add one batch of this instance."""
        self.loss_sum += result.loss_sum
        self.correct += result.correct
        self.samples += result.samples

    def drain(self) -> List[float]:
        """Return [loss sum, correct, samples] and start anew."""
        sums = [self.loss_sum, self.correct, float(self.samples)]
        self.loss_sum, self.correct, self.samples = 0.0, 0.0, 0
        return sums


@dataclass
class EvalMeter:
    """Validation sums, and per class how many images there were and how many were right."""

    loss_sum: float = 0.0
    correct: float = 0.0
    correct_top5: float = 0.0
    samples: int = 0
    confusion: Dict[int, Dict[int, int]] = field(default_factory=dict)

    def add(self, result: EvalResult) -> None:
        """Add one batch of this instance."""
        self.loss_sum += result.loss_sum
        self.correct += result.correct
        self.correct_top5 += result.correct_top5
        self.samples += result.samples
        for label, prediction in zip(result.labels, result.predictions):
            row = self.confusion.setdefault(label, {})
            row[prediction] = row.get(prediction, 0) + 1

    def sums(self) -> List[float]:
        """Return [loss sum, correct, correct in top 5, samples]."""
        return [self.loss_sum, self.correct, self.correct_top5, float(self.samples)]


def train_means(sums: Sequence[float]) -> Dict[str, float]:
    """Return mean loss (nats) and accuracy (0..1) of training sums over all instances."""
    loss, correct, samples = sums
    return {"loss": loss / max(samples, 1), "accuracy": correct / max(samples, 1)}


def eval_means(sums: Sequence[float]) -> Dict[str, float]:
    """Return mean loss, top-1 and top-5 (0..1) and the number of images of validation sums."""
    loss, correct, correct_top5, samples = sums
    count = max(samples, 1)
    return {
        "loss": loss / count,
        "top1": correct / count,
        "top5": correct_top5 / count,
        "samples": samples,
    }


Confusion = Mapping[int, Mapping[int, int]]  # label -> predicted class -> number of images


def all_confusion(
    confusion: Confusion, num_classes: int, all_sum: Callable[[Sequence[float]], List[float]], size: int
) -> Confusion:
    """Return the confusion over all ``size`` instances; every one of them must call this."""
    if size == 1:
        return confusion
    dense = [0.0] * num_classes**2
    for label, row in confusion.items():
        for prediction, count in row.items():
            dense[label * num_classes + prediction] = float(count)
    total: Dict[int, Dict[int, int]] = {}
    for place, count in enumerate(all_sum(dense)):
        if count:
            total.setdefault(place // num_classes, {})[place % num_classes] = int(count)
    return total


def class_accuracy(confusion: Confusion) -> Dict[int, float]:
    """Return the share of right predictions for each class that occurred."""
    return {label: row.get(label, 0) / sum(row.values()) for label, row in sorted(confusion.items())}
