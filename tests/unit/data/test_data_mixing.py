"""Mixup and cutmix: boxes of the original, distributions in closed form, labels by a hand-written loop."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from ipu_app.data.mixing import CoefficientDraw, Mixing, draw_coefficients, unmixed_probability

GOLDEN = Path(__file__).parents[2] / "golden" / "data" / "cutmix_boxes.npz"
STRENGTHS = {0.95: 0.5125, 0.9: 0.435, 0.85: 0.3575, 0.8: 0.28}  # P(lambda = 1) of the published runs


def draws(count, alpha, strength, seed=5):
    return np.stack([draw_coefficients(seed, key, alpha, strength) for key in range(count)])


def test_boxes_equal_the_originals():
    with np.load(GOLDEN) as golden:
        rows = zip(
            golden["sides"],
            golden["kept_target"],
            golden["centre_xy"],
            golden["box_x0_x1_y0_y1"],
            golden["kept_share"],
        )
    mixing = Mixing(mixup=False)
    count = 0
    for (height, width), weight, (x, y), (x0, x1, y0, y1), kept in rows:
        height, width = int(height), int(width)
        images = torch.arange(3.0).view(3, 1, 1, 1).expand(3, 1, height, width)
        coefficients = torch.tensor([[1, weight, x / width, y / height]] * 3, dtype=torch.float32)
        mixed, targets = mixing(images, torch.eye(3), coefficients)
        expected = torch.zeros(height, width, dtype=torch.bool)
        expected[y0:y1, x0:x1] = True
        assert torch.equal(mixed[2, 0] != 2, expected)
        assert targets[2, 2] == pytest.approx(kept, abs=1e-6)
        count += 1
    assert count == 140


@pytest.mark.parametrize("strength,expected", sorted(STRENGTHS.items()))
def test_share_of_uncut_micro_batches(strength, expected):
    weights = draws(20_000, 0.0, strength)[:, 1]
    assert unmixed_probability(strength) == pytest.approx(expected)
    # five standard deviations of a binomial share
    assert np.mean(weights == 1) == pytest.approx(expected, abs=5 * math.sqrt(0.25 / 20_000))


def test_cutmix_weights_follow_their_distribution():
    weights = draws(40_000, 0.0, 0.8)[:, 1]
    weights = np.sort(weights[weights < 1])
    low = math.exp(-4)
    distribution = (np.exp(4 * (weights - 1)) - low) / (1 - low)
    steps = np.arange(1, len(weights) + 1) / len(weights)
    # Kolmogorov-Smirnov: a distance above 1.95 / sqrt(n) has probability 0.001
    assert np.abs(distribution - steps).max() < 1.95 / math.sqrt(len(weights))
    assert weights.min() >= 0


def test_mixup_weights_follow_their_distribution():
    weights = draws(40_000, 0.5, 1.0)[:, 0]
    # Beta(1/2, 1/2) is the arcsine law; the larger of b and 1 - b has P(l <= x) = 4 asin(sqrt x) / pi - 1
    ordered = np.sort(weights.astype(np.float64))
    distribution = 4 / math.pi * np.arcsin(np.sqrt(np.clip(ordered, 0, 1))) - 1
    steps = np.arange(1, len(ordered) + 1) / len(ordered)
    assert np.abs(distribution - steps).max() < 1.95 / math.sqrt(len(ordered))
    assert weights.min() >= 0.5


@pytest.mark.parametrize("alpha", [0.1, 0.2])
def test_mixup_weight_moments(alpha):
    weights = draws(40_000, alpha, 1.0)[:, 0].astype(np.float64)
    # l (1 - l) is the same for b and 1 - b; E[b (1 - b)] = alpha / (2 (2 alpha + 1)) for a symmetric Beta
    assert np.mean(weights * (1 - weights)) == pytest.approx(alpha / (2 * (2 * alpha + 1)), abs=0.003)


def test_centres_are_uniform():
    centres = np.sort(draws(20_000, 0.2, 0.8)[:, 2:], axis=0)
    steps = (np.arange(1, 20_001) / 20_000)[:, None]
    assert np.abs(centres - steps).max() < 1.95 / math.sqrt(20_000)


def test_coefficients_depend_on_seed_and_key_only():
    assert np.array_equal(draws(50, 0.2, 0.8), draws(50, 0.2, 0.8))
    assert not np.array_equal(draws(50, 0.2, 0.8), draws(50, 0.2, 0.8, seed=6))
    assert len(np.unique(draws(50, 0.2, 0.8)[:, 2])) == 50


def test_switched_off_changes_nothing():
    assert np.array_equal(draws(100, 0.0, 1.0)[:, :2], np.ones((100, 2)))
    images, targets = torch.rand(4, 3, 9, 9), torch.rand(4, 5)
    coefficients = torch.from_numpy(draws(4, 0.0, 1.0))
    mixed, mixed_targets = Mixing()(images, targets, coefficients)
    assert torch.equal(mixed, images)
    assert torch.equal(mixed_targets, targets)


@pytest.mark.parametrize("size", [2, 3, 5])
def test_images_and_labels_equal_a_loop(size):
    """out[i] = box ? m[i - p] : m[i] with m[i] = l x[i] + (1 - l) x[i - 1], and the same for the labels."""
    generator = torch.Generator().manual_seed(size)
    images = torch.rand(size, 3, 10, 14, generator=generator, dtype=torch.float64)
    targets = torch.rand(size, 6, generator=generator, dtype=torch.float64)
    weights = torch.rand(size, generator=generator, dtype=torch.float64)
    coefficients = torch.zeros(size, 4, dtype=torch.float64)
    coefficients[:, 0] = weights
    coefficients[:, 1] = torch.linspace(0.6, 0.1, size)  # only the first row's is used
    coefficients[:, 2:] = torch.rand(size, 2, generator=generator, dtype=torch.float64)
    mixed, mixed_targets = Mixing()(images, targets, coefficients)

    height, width = math.sqrt(0.4) * 10, math.sqrt(0.4) * 14
    x = min(max(float(coefficients[0, 2]) * 14, width / 2), 14 - width / 2)
    y = min(max(float(coefficients[0, 3]) * 10, height / 2), 10 - height / 2)
    x0, x1, y0, y1 = (round(v) for v in (x - width / 2, x + width / 2, y - height / 2, y + height / 2))
    kept = 1 - (x1 - x0) * (y1 - y0) / 140
    distance = 1 if size == 2 else 2
    for i in range(size):
        j = (i - distance) % size
        own = weights[i] * images[i] + (1 - weights[i]) * images[i - 1]
        own[:, y0:y1, x0:x1] = (weights[j] * images[j] + (1 - weights[j]) * images[j - 1])[:, y0:y1, x0:x1]
        label = (
            weights[i] * kept * targets[i]
            + (1 - weights[i]) * kept * targets[i - 1]
            + weights[j] * (1 - kept) * targets[j]
            + (1 - weights[j]) * (1 - kept) * targets[j - 1]
        )
        assert torch.allclose(mixed[i], own, atol=1e-12)
        assert torch.allclose(mixed_targets[i], label, atol=1e-12)


def test_half_precision_images_stay_half():
    images = torch.rand(4, 3, 8, 8).half()
    mixed, targets = Mixing()(images, torch.eye(4), torch.from_numpy(draws(4, 0.2, 0.8)))
    assert mixed.dtype == torch.float16
    assert targets.dtype == torch.float32
    assert torch.allclose(targets.sum(1), torch.ones(4), atol=1e-6)


def test_one_image_alone_is_refused():
    with pytest.raises(ValueError, match="batch.micro=1"):
        Mixing()(torch.rand(1, 3, 8, 8), torch.eye(1), torch.from_numpy(draws(1, 0.2, 0.8)))


@pytest.mark.parametrize("alpha,strength", [(-0.1, 1.0), (0.1, 0.5), (0.1, 1.3)])
def test_settings_out_of_range_are_refused(alpha, strength):
    with pytest.raises(ValueError, match="augment"):
        CoefficientDraw(alpha, strength)
