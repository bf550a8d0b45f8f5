"""From a phase's ``augment`` section to what changes its images: policy on the host, mixing on the device."""

from __future__ import annotations

from typing import Any, Optional, Sequence, Union

import torch
from torch import Tensor

from ipu_app.config.augment import AugmentConfig
from ipu_app.data.mixing import CoefficientDraw, GroupedMixing, Mixing, V2Draw, V2Mixing
from ipu_app.data.policies import AutoAugment, Policy, RandAugment


def make_policy(augment: AugmentConfig) -> Optional[Policy]:
    """Return what is done to the pixels of a cropped image; None: nothing."""
    if augment.autoaugment != "off":
        return AutoAugment()
    section = augment.randaugment
    return None if section.magnitude is None else RandAugment(section.magnitude, section.operations)


def make_draw(augment: AugmentConfig) -> Union[None, CoefficientDraw, V2Draw]:
    """Return what draws each image's mixing coefficients; None: images are not mixed."""
    if not augment.mixes:
        return None
    if augment.mixing == "v2":
        return V2Draw(augment.mixup_alpha, augment.cutmix_alpha)
    return CoefficientDraw(augment.mixup_alpha, augment.cutmix_strength)


def make_mixing(augment: AugmentConfig, within: Optional[int]) -> Optional[GroupedMixing]:
    """Return the module that mixes micro-batches, in groups of ``within`` images; None: they are not."""
    if not augment.mixes:
        return None
    if augment.mixing == "v2":
        return V2Mixing(mixup=augment.mixup_alpha > 0, cutmix=augment.cutmixes, within=within)
    return Mixing(within=within)


def mixed_images(items: Sequence[Any], augment: AugmentConfig) -> Tensor:
    """Return a data set's items as one micro-batch of images, mixed: uint8 (N, 3, H, W)."""
    images = torch.stack([item[0] for item in items])
    mix = make_mixing(augment, None)
    if mix is None or len(items) < augment.least_micro:
        return images
    coefficients = torch.stack([item[2] for item in items])
    mixed, _ = mix(images.float(), torch.zeros(len(items), 1), coefficients)
    return mixed.round().clamp(0, 255).to(torch.uint8)
