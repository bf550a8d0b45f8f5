"""Sums that add up over batches and instances, and the means and rates made of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Callable, Dict, List, Mapping, Optional, Sequence

from ipu_app.runtime.base import BatchResult, EvalResult


@dataclass
class TrainMeter:
    """Training sums since the last report.

    Calls whose loss is not a finite number are counted and left out of the sums: one alone may come of half
    precision and pass. Several in a row do not: the weights are spoilt. ``bad_in_a_row`` outlives reports.
    """

    loss_sum: float = 0.0
    correct: float = 0.0
    samples: int = 0
    bad_calls: int = 0
    bad_in_a_row: int = 0

    def add(self, result: BatchResult) -> None:
        """Add one batch of this instance."""
        if not math.isfinite(result.loss_sum):
            self.bad_calls += 1
            self.bad_in_a_row += 1
            return
        self.bad_calls += result.left_out
        self.bad_in_a_row = 0
        self.loss_sum += result.loss_sum
        self.correct += result.correct
        self.samples += result.samples

    @property
    def has_diverged(self) -> bool:
        """Whether the last two calls, or all since the last report, gave no finite loss."""
        return self.bad_in_a_row >= 2 or self.bad_in_a_row >= 1 and self.samples == 0

    def drain(self) -> List[float]:
        """Return [loss sum, correct, samples, calls left out, 1 if diverged else 0] and start anew."""
        sums = [self.loss_sum, self.correct, self.samples, self.bad_calls, self.has_diverged]
        self.loss_sum, self.correct, self.samples, self.bad_calls = 0.0, 0.0, 0, 0
        return [float(value) for value in sums]

    def state(self) -> List[float]:
        """Return what is added up and not reported yet, for a checkpoint inside an epoch."""
        sums = [self.loss_sum, self.correct, self.samples, self.bad_calls, self.bad_in_a_row]
        return [float(value) for value in sums]

    def restore(self, state: Sequence[float]) -> None:
        """Take up what ``state`` returned, or the sum of it over several instances."""
        self.loss_sum, self.correct = state[0], state[1]
        self.samples, self.bad_calls, self.bad_in_a_row = (int(value) for value in state[2:5])


@dataclass
class RateMeter:
    """Images (of all instances) and seconds of one phase's training calls.

    The first call compiles and is left out.
    """

    calls: int = 0
    images: int = 0
    seconds: float = 0.0
    _reported_images: int = 0
    _reported_seconds: float = 0.0

    def add(self, images: int, seconds: float) -> None:
        """Add one call."""
        self.calls += 1
        if self.calls > 1:
            self.images += images
            self.seconds += seconds

    def state(self) -> List[float]:
        """Return [images, seconds] so far, for a checkpoint."""
        return [float(self.images), self.seconds]

    def restore(self, state: Sequence[float]) -> None:
        """Go on from what ``state`` returned; the next call compiles again, and is left out again."""
        self.images, self.seconds = int(state[0]), float(state[1])
        self._reported_images, self._reported_seconds = self.images, self.seconds

    def per_s(self) -> Optional[float]:
        """Return images/s over the whole phase; None before its second call."""
        return _per_s(self.images, self.seconds)

    def drain(self) -> Optional[float]:
        """Return images/s since this was last asked; None if there were none but the first call."""
        found = _per_s(self.images - self._reported_images, self.seconds - self._reported_seconds)
        self._reported_images, self._reported_seconds = self.images, self.seconds
        return found


def _per_s(images: int, seconds: float) -> Optional[float]:
    return round(images / seconds, 2) if seconds > 0 else None


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
    """Return mean loss (nats) and accuracy (0..1) of training sums over all instances.

    Where calls were left out for a loss that was not finite, their number is told, too.
    """
    loss, correct, samples, bad_calls, _ = sums
    means = {"loss": loss / max(samples, 1), "accuracy": correct / max(samples, 1)}
    return {**means, "nonfinite_calls": bad_calls} if bad_calls else means


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
