"""Version 2's mixing law: halves, partners, boxes and labels by a hand-written loop; legal on an IPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ipu_app.config.augment import AugmentConfig, RandAugmentConfig
from ipu_app.data.augmenting import make_draw, make_mixing, make_policy
from ipu_app.data.mixing import V2Draw, V2Mixing
from ipu_app.data.policies import AutoAugment, RandAugment
from ipu_app.runtime.poptorch_api import load_poptorch


def by_hand(images, targets, coefficients, first):
    """The law written out: mixup on the first so many images, cutmix on the rest; numpy, float64."""
    height, width = images.shape[2:]
    mixed, labels = images.copy(), targets.copy()
    for i in range(first):
        weight, partner = coefficients[i, 0], first - 1 - i
        mixed[i] = weight * images[i] + (1 - weight) * images[partner]
        labels[i] = weight * targets[i] + (1 - weight) * targets[partner]
    rest, areas = range(first, len(images)), []
    for i in rest:
        partner = first + len(images) - 1 - i
        side = np.sqrt(1 - coefficients[i, 1])
        y, x = int(coefficients[i, 3] * height), int(coefficients[i, 2] * width)
        tall, wide = int(side * height) // 2, int(side * width) // 2
        box = (slice(max(0, y - tall), y + tall), slice(max(0, x - wide), x + wide))
        mixed[i][:, box[0], box[1]] = images[partner][:, box[0], box[1]]
        areas.append(np.zeros((height, width)))
        areas[-1][box] = 1
    for i in rest:
        pasted, partner = np.mean(areas), first + len(images) - 1 - i
        labels[i] = (1 - pasted) * targets[i] + pasted * targets[partner]
    return mixed, labels


@pytest.mark.parametrize("count", [4, 7, 8])
@pytest.mark.parametrize("alphas", [(0.4, 0.5), (0.4, 0.0), (0.0, 0.5)])
def test_mixed_images_and_labels_equal_the_law_written_out(count, alphas):
    draw = V2Draw(*alphas)
    coefficients = np.stack([draw(3, key) for key in range(count)])
    images = np.random.default_rng(0).random((count, 3, 11, 14))
    targets = np.eye(count)
    mix = V2Mixing(mixup=alphas[0] > 0, cutmix=alphas[1] > 0)
    mixed, labels = mix(*(torch.from_numpy(array) for array in (images, targets, coefficients)))
    first = count // 2 if all(alphas) else count if alphas[0] else 0
    expected = by_hand(images, targets, coefficients.astype(np.float64), first)
    np.testing.assert_allclose(mixed, expected[0], rtol=1e-6)
    np.testing.assert_allclose(labels, expected[1], rtol=1e-6)
    np.testing.assert_allclose(labels.sum(1), 1, rtol=1e-6)


def test_coefficients_are_betas_and_depend_on_seed_and_key_alone():
    draw = V2Draw(0.2, 0.5)
    drawn = np.stack([draw(1, key) for key in range(20_000)])
    np.testing.assert_array_equal(drawn[17], draw(1, 17))
    assert drawn[:, 0].min() >= 0.5
    # the mean and variance of Beta(a, a) are 1/2 and 1 / (8 a + 4); five standard errors
    assert drawn[:, 1].mean() == pytest.approx(0.5, abs=5 * 0.36 / 20_000**0.5)
    assert drawn[:, 1].var() == pytest.approx(1 / 8, abs=0.005)
    # both halves of Beta(a, a) folded on the larger one keep the second moment about 1/2
    assert ((drawn[:, 0] - 0.5) ** 2).mean() == pytest.approx(1 / 5.6, abs=0.005)


def test_alphas_of_0_leave_images_bit_for_bit():
    images, targets = torch.rand(6, 3, 8, 8), torch.eye(6)
    coefficients = torch.from_numpy(np.stack([V2Draw(0.0, 0.0)(0, key) for key in range(6)]))
    mixed, labels = V2Mixing()(images, targets, coefficients)
    assert torch.equal(mixed, images) and torch.equal(labels, targets)


def test_large_micro_batches_are_mixed_in_groups():
    images, targets = torch.rand(8, 3, 8, 8), torch.eye(8)
    coefficients = torch.from_numpy(np.stack([V2Draw(0.3, 0.3)(0, key) for key in range(8)]))
    whole = V2Mixing(within=4)(images, targets, coefficients)
    parts = [V2Mixing()(images[k : k + 4], targets[k : k + 4], coefficients[k : k + 4]) for k in (0, 4)]
    for got, *expected in zip(whole, *parts):
        assert torch.equal(got, torch.cat(expected))


def test_halves_need_four_images():
    with pytest.raises(ValueError, match=r"batch.micro=3: augment.mixing=v2 .* of 4 or more"):
        V2Mixing()(torch.rand(3, 3, 8, 8), torch.eye(3), torch.rand(3, 4))


class Mixed(torch.nn.Module):
    """Mixing as the last thing before a loss, which PopTorch compiles."""

    def __init__(self, poptorch):
        super().__init__()
        self.mix, self.scale = V2Mixing(), torch.nn.Parameter(torch.ones(1))
        self._identity_loss = poptorch.identity_loss

    def forward(self, images, targets, coefficients):
        mixed, labels = self.mix(images * self.scale, targets, coefficients)
        loss = (mixed.mean((1, 2, 3)) * labels[:, 0]).mean()
        return self._identity_loss(loss, reduction="none"), mixed


def test_an_ipu_takes_the_law_and_mixes_the_same():
    poptorch = load_poptorch("sim").poptorch
    model = Mixed(poptorch)
    optimizer = poptorch.optim.SGD(model.parameters(), lr=0.0)
    options = poptorch.Options()
    options.outputMode(poptorch.OutputMode.All)
    trainer = poptorch.trainingModel(model.train(), options, optimizer)
    images, targets = torch.rand(6, 3, 8, 8), torch.eye(6)
    coefficients = torch.from_numpy(np.stack([V2Draw(0.4, 0.5)(0, key) for key in range(6)]))
    _, mixed = trainer(images, targets, coefficients)
    assert torch.equal(mixed, V2Mixing()(images, targets, coefficients)[0])


def test_sections_choose_policy_and_law():
    augment = AugmentConfig(mixing="v2", mixup_alpha=0.2, cutmix_alpha=0.3)
    assert make_draw(augment) == V2Draw(0.2, 0.3)
    assert augment.mixes and augment.least_micro == 4
    mix = make_mixing(AugmentConfig(mixing="v2", cutmix_alpha=0.3), 6)
    assert (mix.mixup, mix.cutmix, mix.within) == (False, True, 6)
    assert make_draw(AugmentConfig()) is None and make_policy(AugmentConfig()) is None
    assert make_policy(AugmentConfig(autoaugment="v0")) == AutoAugment()
    with pytest.raises(ValueError, match=r"augment.cutmix_alpha=0.3: is version 2's"):
        AugmentConfig(cutmix_alpha=0.3)
    with pytest.raises(ValueError, match=r"augment.cutmix_strength=0.9: is published_v1's"):
        AugmentConfig(mixing="v2", cutmix_strength=0.9)


def test_randaugment_section():
    section = RandAugmentConfig(magnitude=9.0)
    assert make_policy(AugmentConfig(randaugment=section)) == RandAugment(9.0, 2)
    with pytest.raises(ValueError, match="no effect with augment.preprocessing=eval"):
        AugmentConfig(preprocessing="eval", randaugment=section)
    with pytest.raises(ValueError, match="another policy than RandAugment"):
        AugmentConfig(autoaugment="v0", randaugment=section)
    with pytest.raises(ValueError, match=r"magnitude=40.*between 0 and 30"):
        RandAugmentConfig(magnitude=40.0)
