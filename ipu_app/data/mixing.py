"""Mixup and cutmix on the device, with random numbers drawn on the host.

The method is that of "Making EfficientNet More Efficient" (arXiv 2106.03640), both inside one micro-batch:
*mixup* (arXiv 1710.09412) blends every image with the one before it, with a weight of its own; *cutmix*
(arXiv 1905.04899) then pastes one box, the same for the whole micro-batch, from the mixed image two places
before.

EfficientNetV2 was trained with another law (``v2``, github google/automl): half of the images are mixed up,
the other half cut and pasted, each with the half reversed; where only one of the two is in use, the whole
micro-batch. Each image has a box of its own, cut off at the border; its label's weight is the mean pasted
area of the half.

Beta can not be sampled on an IPU, so four numbers per sample travel with the images: see `draw_coefficients`.
They are a pure function of (seed, key), so a mixed batch does not depend on which worker, replica or host
made it. Shapes: N images of a micro-batch, C channels, (H, W) pixels, K classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Optional, Tuple

import numpy as np
import torch
from torch import Tensor, nn

NUM_COEFFICIENTS = 4
MIXUP_WEIGHT, CUTMIX_WEIGHT, CENTRE_X, CENTRE_Y = range(NUM_COEFFICIENTS)
CUTMIX_OFF = 1.0
_MIXING_STREAM = 0x31C1  # keeps these random numbers apart from those of the crops
_RATE = 4.0  # of the truncated exponential distribution of 1 - lambda
_UNMIXED_SLOPE, _UNMIXED_OFFSET = 1.55, 0.96  # P(lambda = 1) = 1.55 c - 0.96, the original's fit


def unmixed_probability(cutmix_strength: float) -> float:
    """Probability that a micro-batch is left uncut, for a strength c between 0.62 and 1 (1 switches it
    off).
    """
    if cutmix_strength == CUTMIX_OFF:
        return 1.0
    probability = _UNMIXED_SLOPE * cutmix_strength - _UNMIXED_OFFSET
    if not 0 <= probability <= 1:
        raise ValueError(f"augment.cutmix_strength={cutmix_strength}: must be 0.62 to 1 (1: no cutmix)")
    return probability


def draw_coefficients(seed: int, key: int, alpha: float, cutmix_strength: float) -> np.ndarray:
    """The mixing coefficients of sample ``key``: float32 (4,), each in [0, 1].

    0: weight of the image itself in mixup, max(b, 1 - b) with b ~ Beta(alpha, alpha), 1 if alpha is 0. 1:
    cutmix's lambda, the share of the area aimed to be kept: 1 with `unmixed_probability`, else 1 + ln(U) / 4
    with U uniform on (e^-4, 1). 2, 3: centre of the box, x and y, as a share of the image. Of the last three,
    a micro-batch uses those of its first sample.
    """
    random = np.random.Generator(np.random.Philox(key=[seed ^ _MIXING_STREAM, key]))
    uncut, uniform, x, y = random.random(4).tolist()
    beta = random.beta(alpha, alpha) if alpha > 0 else 1.0
    weight = 1.0
    if uncut >= unmixed_probability(cutmix_strength):
        low = math.exp(-_RATE)
        weight = 1 + math.log(low + (1 - low) * uniform) / _RATE
    return np.array([max(beta, 1 - beta), weight, x, y], dtype=np.float32)


@dataclass(frozen=True)
class V2Draw:
    """The coefficients of V2's law, in the same four places; what ``open_dataset`` takes.

    0: weight of the image itself in mixup, max(b, 1 - b) with b ~ Beta(mixup_alpha, mixup_alpha); 1: share of
    the area aimed to be kept, Beta(cutmix_alpha, cutmix_alpha); 1 for both where alpha is 0. 2, 3: centre of
    the box, x and y. All four are the image's own.
    """

    mixup_alpha: float
    cutmix_alpha: float

    def __post_init__(self) -> None:
        for key in ("mixup_alpha", "cutmix_alpha"):
            if getattr(self, key) < 0:
                raise ValueError(f"augment.{key}={getattr(self, key)}: must be 0 (off) or more")

    def __call__(self, seed: int, key: int) -> np.ndarray:
        """The coefficients of sample ``key``: float32 (4,), each in [0, 1]."""
        random = np.random.Generator(np.random.Philox(key=[seed ^ _MIXING_STREAM, key]))
        x, y = random.random(2).tolist()
        kept = random.beta(self.cutmix_alpha, self.cutmix_alpha) if self.cutmix_alpha > 0 else 1.0
        beta = random.beta(self.mixup_alpha, self.mixup_alpha) if self.mixup_alpha > 0 else 1.0
        return np.array([max(beta, 1 - beta), kept, x, y], dtype=np.float32)


@dataclass(frozen=True)
class CoefficientDraw:
    """`draw_coefficients` with its two settings: what `open_dataset` takes as ``draw_coefficients``."""

    alpha: float
    cutmix_strength: float

    def __post_init__(self) -> None:
        if self.alpha < 0:
            raise ValueError(f"augment.mixup_alpha={self.alpha}: must be 0 (off) or more")
        unmixed_probability(self.cutmix_strength)

    def __call__(self, seed: int, key: int) -> np.ndarray:
        """The coefficients of sample ``key``."""
        return draw_coefficients(seed, key, self.alpha, self.cutmix_strength)


def box_edges(weight: Tensor, centre: Tensor, side: int) -> Tuple[Tensor, Tensor]:
    """First pixel of the box and first one after it, along an axis of ``side`` pixels; whole numbers as
    floats.

    The box is side * sqrt(1 - weight) long; its centre, at ``centre * side``, is moved until the box lies
    inside. Edges round half to even.
    """
    half = (1 - weight).sqrt() * (side / 2)
    middle = torch.minimum(torch.maximum(centre * side, half), side - half)
    return torch.round(middle - half), torch.round(middle + half)


class GroupedMixing(nn.Module):
    """Mixes images inside groups of ``within`` neighbours; None: the micro-batch whole.

    So a GPU's large micro-batch is mixed like the IPU's small ones that it stands for.
    """

    def __init__(self, within: Optional[int] = None) -> None:
        super().__init__()
        self.within = within

    def forward(self, images: Tensor, targets: Tensor, coefficients: Tensor) -> Tuple[Tensor, Tensor]:
        """Return mixed images, of their own dtype, and mixed targets."""
        size = self.within or images.shape[0]
        if images.shape[0] <= size:
            return self._mix(images, targets, coefficients)
        groups = zip(images.split(size), targets.split(size), coefficients.split(size))
        mixed_images, mixed_targets = zip(*(self._mix(*group) for group in groups))
        return torch.cat(mixed_images), torch.cat(mixed_targets)

    def _mix(self, images: Tensor, targets: Tensor, coefficients: Tensor) -> Tuple[Tensor, Tensor]:
        raise NotImplementedError


class V2Mixing(GroupedMixing):
    """V2's law: (images (N, C, H, W), targets (N, K), coefficients (N, 4)) -> (images, targets).

    With both of ``mixup`` and ``cutmix``, the first half of the images is mixed up and the second cut. A part
    of one image has nothing to mix with: ValueError. An odd one in the middle of a part is its own partner.
    """

    def __init__(self, *, mixup: bool = True, cutmix: bool = True, within: Optional[int] = None) -> None:
        super().__init__(within)
        self.mixup, self.cutmix = mixup, cutmix

    def _mix(self, images: Tensor, targets: Tensor, coefficients: Tensor) -> Tuple[Tensor, Tensor]:
        size = images.shape[0]
        least = 4 if self.mixup and self.cutmix else 2
        if size < least:
            raise ValueError(
                f"batch.micro={size}: augment.mixing=v2 mixes halves of a micro-batch, of {least} or more"
            )
        middle = size // 2 if self.mixup and self.cutmix else size if self.mixup else 0
        parts = []
        if middle:
            parts.append(self._blend(images[:middle], targets[:middle], coefficients[:middle]))
        if middle < size:
            parts.append(self._paste(images[middle:], targets[middle:], coefficients[middle:]))
        mixed_images, mixed_targets = zip(*parts)
        return torch.cat(mixed_images), torch.cat(mixed_targets)

    @staticmethod
    def _blend(images: Tensor, targets: Tensor, coefficients: Tensor) -> Tuple[Tensor, Tensor]:
        """Mixup with the part reversed."""
        weight = coefficients[:, MIXUP_WEIGHT]
        per_row = weight.to(targets.dtype).view(-1, 1)
        per_image = weight.to(images.dtype).view(-1, 1, 1, 1)
        images = images * per_image + torch.flip(images, [0]) * (1 - per_image)
        return images, targets * per_row + torch.flip(targets, [0]) * (1 - per_row)

    @staticmethod
    def _paste(images: Tensor, targets: Tensor, coefficients: Tensor) -> Tuple[Tensor, Tensor]:
        """Cutmix with the part reversed, a box for each image."""
        height, width = images.shape[2], images.shape[3]
        side = (1 - coefficients[:, CUTMIX_WEIGHT]).sqrt()
        columns = _inside(side, coefficients[:, CENTRE_X], width).view(-1, 1, 1, width)
        rows = _inside(side, coefficients[:, CENTRE_Y], height).view(-1, 1, height, 1)
        inside = columns * rows
        pasted = inside.mean().to(targets.dtype)
        targets = targets * (1 - pasted) + torch.flip(targets, [0]) * pasted
        return torch.where(inside > 0, torch.flip(images, [0]), images), targets


def _inside(side: Tensor, centre: Tensor, pixels: int) -> Tensor:
    """1 where an axis of so many pixels is inside the box of each image, else 0: floats (N, pixels).

    The box takes the share ``side`` (N,) of the axis; whole pixels, both halves of its length rounded down.
    """
    middle = torch.floor(centre * pixels).view(-1, 1)
    half = torch.floor(torch.floor(side * pixels) / 2).view(-1, 1)
    places = torch.arange(pixels, device=side.device).to(side.dtype).view(1, -1)
    return ((places >= middle - half) & (places < middle + half)).to(side.dtype)


class Mixing(GroupedMixing):
    """Mixes one micro-batch: (images (N, C, H, W), targets (N, K), coefficients (N, 4)) -> (images, targets).

    A micro-batch of 2 takes the box from the neighbour, a larger one from two places before. One image alone
    has nothing to mix with: ValueError.
    """

    def __init__(self, *, mixup: bool = True, cutmix: bool = True, within: Optional[int] = None) -> None:
        super().__init__(within)
        self.mixup, self.cutmix = mixup, cutmix

    def _mix(self, images: Tensor, targets: Tensor, coefficients: Tensor) -> Tuple[Tensor, Tensor]:
        if images.shape[0] < 2:
            raise ValueError("batch.micro=1: mixup and cutmix need micro-batches of 2 or more")
        if self.mixup:
            images, targets = self._blend(images, targets, coefficients[:, MIXUP_WEIGHT])
        if self.cutmix:
            images, targets = self._paste(images, targets, coefficients[:1])
        return images, targets

    @staticmethod
    def _blend(images: Tensor, targets: Tensor, weight: Tensor) -> Tuple[Tensor, Tensor]:
        """Mixup with the image before; ``weight`` (N,)."""
        per_row = weight.to(targets.dtype).view(-1, 1)
        per_image = weight.to(images.dtype).view(-1, 1, 1, 1)
        images = images * per_image + torch.roll(images, 1, 0) * (1 - per_image)
        return images, targets * per_row + torch.roll(targets, 1, 0) * (1 - per_row)

    @staticmethod
    def _paste(images: Tensor, targets: Tensor, coefficients: Tensor) -> Tuple[Tensor, Tensor]:
        """Cutmix with one box, from the first sample's coefficients (1, 4)."""
        height, width = images.shape[2], images.shape[3]
        partner = 2 if images.shape[0] > 2 else 1
        weight = coefficients[:, CUTMIX_WEIGHT]
        left, right = box_edges(weight, coefficients[:, CENTRE_X], width)
        top, bottom = box_edges(weight, coefficients[:, CENTRE_Y], height)
        columns = torch.arange(width, device=images.device).to(weight.dtype).view(1, 1, 1, -1)
        rows = torch.arange(height, device=images.device).to(weight.dtype).view(1, 1, -1, 1)
        inside = (columns >= left) & (columns < right) & (rows >= top) & (rows < bottom)
        kept = (1 - (right - left) * (bottom - top) / (height * width)).to(targets.dtype)
        targets = targets * kept + torch.roll(targets, partner, 0) * (1 - kept)
        return torch.where(inside, torch.roll(images, partner, 0), images), targets
