"""The graphs that a device runs: from uint8 images to a loss, or to what is counted in validation.

The same modules run on every device, so they hold only what PopTorch accepts: no data-dependent shapes, no
``item()``, comparisons instead of indexing, and a loss written out so that label smoothing and mixing are
differentiated. Shapes: N images in a micro-batch, K classes.
"""

from __future__ import annotations

from typing import Optional, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# (mean, standard deviation) of the input in uint8 units; "published" is what the runs of arXiv 2106.03640
# used, "released_v2" what EfficientNetV2's did, "half" what weights of others want: x / 255 from -1 to 1.
NORMALISATIONS = {
    "published": ((123.68, 116.78, 103.94), (1.0, 1.0, 1.0)),
    "torchvision": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "released_v2": ((128.0, 128.0, 128.0), (128.0, 128.0, 128.0)),
    "half": ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
}


class Preprocess(nn.Module):
    """Cast uint8 images (N, 3, H, W) to ``dtype`` and normalise them on the device.

    The constants are float32 buffers; the difference is taken in float32 and cast afterwards, so that float16
    keeps all eight bits.
    """

    def __init__(self, *, normalise: str = "published", dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        mean, std = NORMALISATIONS[normalise]
        scale = [1 / value for value in std]
        self.dtype = dtype
        self.register_buffer("scale", torch.tensor(scale).view(1, 3, 1, 1), persistent=False)
        self.register_buffer(
            "offset", -torch.tensor(mean).mul(torch.tensor(scale)).view(1, 3, 1, 1), persistent=False
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return normalised images of the module's dtype."""
        return (images.float() * self.scale + self.offset).to(self.dtype)


class Targets(nn.Module):
    """Turn labels (N,) into smoothed target rows (N, K): 1 - s on the label, s / (K - 1) elsewhere.

    A label of -1 (padding) gives the off value everywhere.
    """

    def __init__(self, num_classes: int, smoothing: float) -> None:
        super().__init__()
        self.on, self.off = 1.0 - smoothing, smoothing / max(num_classes - 1, 1)
        self.register_buffer("classes", torch.arange(num_classes, dtype=torch.int32), persistent=False)

    def forward(self, labels: Tensor) -> Tensor:
        """Return float32 targets (N, K)."""
        hit = (labels.to(torch.int32).unsqueeze(1) == self.classes).float()
        return hit * (self.on - self.off) + self.off


class TrainGraph(nn.Module):
    """Cast, normalise, mix, model, loss and count, for one micro-batch.

    ``mix`` takes (images, targets, coefficients) to mixed (images, targets); None mixes nothing.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        num_classes: int,
        label_smoothing: float = 0.1,
        preprocess: Optional[Preprocess] = None,
        mix: Optional[nn.Module] = None,
    ) -> None:
        super().__init__()
        self.preprocess = preprocess or Preprocess()
        self.targets = Targets(num_classes, label_smoothing)
        self.mix = mix
        self.model = model

    def forward(
        self, images: Tensor, labels: Tensor, coefficients: Optional[Tensor] = None
    ) -> Tuple[Tensor, Tensor]:
        """Return the mean cross-entropy and the number of correct predictions, both 0-d float32."""
        pixels, targets = self.preprocess(images), self.targets(labels)
        if self.mix is not None:
            pixels, targets = self.mix(pixels, targets, coefficients)
        logits = self.model(pixels).float()
        loss = -(targets * F.log_softmax(logits, dim=1)).sum(1).mean()
        with torch.no_grad():
            correct = (logits.argmax(1) == targets.argmax(1)).float().sum()
        return loss, correct


class EvalGraph(nn.Module):
    """Classify one micro-batch and say, per image, how well; the host masks padding and adds up."""

    def __init__(
        self, model: nn.Module, *, num_classes: int, preprocess: Optional[Preprocess] = None
    ) -> None:
        super().__init__()
        self.preprocess = preprocess or Preprocess()
        self.targets = Targets(num_classes, 0.0)
        self.model = model

    def forward(self, images: Tensor, labels: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        """Return per image: cross-entropy (N,), rank of the label from 1 (N,), predicted class (N,).

        The rank counts the classes scored at least as high as the label, so a tie counts against us; it is 0
        where the logits are not numbers.
        """
        logits = self.model(self.preprocess(images)).float()
        targets = self.targets(labels)
        loss = -(targets * F.log_softmax(logits, dim=1)).sum(1)
        label_logit = (logits * targets).sum(1, keepdim=True)
        rank = (logits >= label_logit).float().sum(1)
        return loss, rank, logits.argmax(1).to(torch.int32)


class LogitsGraph(nn.Module):
    """Images in, logits out: what ``predict`` and ``export`` use."""

    def __init__(self, model: nn.Module, *, preprocess: Optional[Preprocess] = None) -> None:
        super().__init__()
        self.preprocess = preprocess or Preprocess()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Return float32 logits (N, K) of uint8 images (N, 3, H, W)."""
        logits: Tensor = self.model(self.preprocess(images)).float()
        return logits
