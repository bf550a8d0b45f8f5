"""The parts of the network: padded convolution, conv + norm + activation, squeeze-excite, MBConv, top.

Shapes: x (N, C, H, W); squeeze-excite gates and proxy statistics (N or 1, C, 1, 1). Each part that may start
a pipeline stage is invoked as a module, never through a method.
"""

from __future__ import annotations

from typing import Optional

import torch
import torch.nn.functional as F
from torch import nn

from ipu_app.models.layout import BlockSpec, ConvSpec
from ipu_app.models.norms import make_norm
from ipu_app.models.proxy import make_activation
from ipu_app.models.spec import EfficientNetSpec


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding: ceil(size / stride) outputs, the odd pixel at the end.

    At stride 1 that is symmetric; at stride 2 it depends on the input's size.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pads explicitly only where the two sides differ."""
        top, bottom = same_padding(x.shape[2], self.kernel_size[0], self.stride[0])
        left, right = same_padding(x.shape[3], self.kernel_size[1], self.stride[1])
        if (top, left) == (bottom, right):
            return F.conv2d(x, self.weight, None, self.stride, (top, left), 1, self.groups)
        return F.conv2d(
            F.pad(x, (left, right, top, bottom)), self.weight, None, self.stride, 0, 1, self.groups
        )


def same_padding(size: int, kernel: int, stride: int) -> tuple:
    """Zeros before and after an axis of ``size`` under TensorFlow's SAME rule."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def make_conv(spec: EfficientNetSpec, conv: ConvSpec) -> nn.Conv2d:
    """A convolution without bias under the spec's padding rule."""
    same = spec.padding == "same" and conv.kernel > 1
    return (SameConv2d if same else nn.Conv2d)(
        conv.in_channels,
        conv.out_channels,
        conv.kernel,
        stride=conv.stride,
        padding=0 if same else conv.kernel // 2,
        groups=conv.groups,
        bias=False,
    )


class ConvNorm(nn.Module):
    """Convolution and norm, nothing after. With proxy norm the norm learns a scale but no shift."""

    def __init__(self, spec: EfficientNetSpec, conv: ConvSpec) -> None:
        super().__init__()
        self.conv = make_conv(spec, conv)
        self.norm = make_norm(spec, conv.out_channels, affine="scale" if spec.has_proxy_norm else "full")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride))."""
        return self.norm(self.conv(x))


class ConvNormAct(nn.Module):
    """Convolution, norm, activation. ``deferred`` leaves ``act.pending()`` to the caller."""

    def __init__(self, spec: EfficientNetSpec, conv: ConvSpec, *, deferred: bool = False) -> None:
        super().__init__()
        self.conv = make_conv(spec, conv)
        self.norm = make_norm(spec, conv.out_channels, affine="none" if spec.has_proxy_norm else "full")
        self.act = make_activation(spec, conv.out_channels)
        self.act.deferred = deferred

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride))."""
        return self.act(self.norm(self.conv(x), *self.act.affine))


class SqueezeExcite(nn.Module):
    """Scales every channel by a gate made from all channels' means; swish inside, sigmoid at the end."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.expand = nn.Conv2d(squeezed, channels, 1)

    def forward(
        self, x: torch.Tensor, mean: Optional[torch.Tensor] = None, scale: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """``mean``, ``scale``: what a deferred proxy activation left; (x - mean) * gate(x - mean) * scale."""
        pooled = x.mean((2, 3), keepdim=True)
        if mean is not None:
            pooled = pooled - mean.to(x.dtype)
        gate = torch.sigmoid(self.expand(F.silu(self.reduce(pooled))))
        if mean is None:
            return x * gate
        gate = gate * scale.to(x.dtype)
        return torch.addcmul(-mean.to(x.dtype) * gate, x, gate)


class MBConv(nn.Module):
    """Inverted bottleneck: expand 1x1, spatial (group) convolution, squeeze-excite, project 1x1, skip."""

    def __init__(self, spec: EfficientNetSpec, block: BlockSpec) -> None:
        super().__init__()
        self.expand = None if block.expand is None else ConvNormAct(spec, block.expand)
        self.spatial = ConvNormAct(spec, block.spatial, deferred=True)
        self.se = SqueezeExcite(block.spatial.out_channels, block.se_channels)
        self.project = ConvNorm(spec, block.project)
        self.has_skip = block.has_skip
        self.drop_connect = block.drop_connect

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride))."""
        y = x if self.expand is None else self.expand(x)
        y = self.spatial(y)
        y = self.se(y, *self.spatial.act.pending())
        y = self.project(y)
        if not self.has_skip:
            return y
        if not self.training or self.drop_connect == 0:
            return x + y
        return torch.addcmul(x, y, drop_connect_factor(y, self.drop_connect))


def drop_connect_factor(x: torch.Tensor, rate: float) -> torch.Tensor:
    """Per sample, 0 with probability ``rate`` and else 1 / (1 - rate); shape (N, 1, 1, 1)."""
    survival = 1 - rate
    keep = torch.rand((x.shape[0], 1, 1, 1), device=x.device) + survival >= 1
    return keep.to(x.dtype) * (1 / survival)


class Top(ConvNormAct):
    """Last convolution, global mean, dropout, classifier.

    A proxy activation's mean is subtracted after the global mean, its 1/std left out, as in the original.
    """

    def __init__(self, spec: EfficientNetSpec, conv: ConvSpec) -> None:
        super().__init__(spec, conv, deferred=True)
        self.dropout = nn.Dropout(spec.dropout)
        self.fc = nn.Linear(conv.out_channels, spec.num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> logits (N, classes)."""
        features = super().forward(x).mean((2, 3))
        for mean in self.act.pending()[:1]:
            features = features - mean.flatten().to(features.dtype)
        return self.fc(self.dropout(features))
