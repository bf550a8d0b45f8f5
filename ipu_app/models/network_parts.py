"""The parts of the network: padded convolution, conv + norm + activation, squeeze-excite, the blocks, top.

Shapes: x (N, C, H, W); squeeze-excite gates and proxy statistics (N or 1, C, 1, 1). Each part that may start
a pipeline stage is invoked as a module, never through a method.
"""

from __future__ import annotations

from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch import nn

from ipu_app.models.layout import BlockSpec, ConvSpec
from ipu_app.models.network_spec import EfficientNetSpec
from ipu_app.models.norms import make_norm
from ipu_app.models.proxy import make_activation


def same_padding(size: int, kernel: int, stride: int) -> Tuple[int, int]:
    """Zeros before and after an axis of ``size`` under TensorFlow's SAME rule: ceil(size / stride)
    outputs.
    """
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class Conv(nn.Conv2d):
    """A convolution without bias: ``same`` pads by TensorFlow's rule, else k // 2 on all sides.

    The two differ at stride 2, where SAME puts the odd zero behind an even input.
    """

    def __init__(self, conv: ConvSpec, *, same: bool) -> None:
        shape = (conv.in_channels, conv.out_channels, conv.kernel, conv.stride)
        super().__init__(*shape, padding=conv.kernel // 2, groups=conv.groups, bias=False)
        self.pad_channels = 0  # zero channels beside the input's: faster on some devices, the same result
        self.same = same

    def forward(self, x: torch.Tensor, scale: Optional[torch.Tensor] = None) -> torch.Tensor:
        """Of x * scale, if a ``scale`` (1, in, 1, 1) is given; it goes into the weights, which are
        smaller.
        """
        weight = self.weight if scale is None else self._scaled_weight(scale.to(self.weight.dtype))
        padding = self.padding
        if self.pad_channels:
            x, weight = (F.pad(part, (0, 0, 0, 0, 0, self.pad_channels)) for part in (x, weight))
        if self.same and self.stride[0] > 1:
            top, bottom = same_padding(x.shape[2], self.kernel_size[0], self.stride[0])
            left, right = same_padding(x.shape[3], self.kernel_size[1], self.stride[1])
            padding = (top, left)
            if (top, left) != (bottom, right):
                x, padding = F.pad(x, (left, right, top, bottom)), (0, 0)
        return F.conv2d(x, weight, None, self.stride, padding, 1, self.groups)

    def _scaled_weight(self, scale: torch.Tensor) -> torch.Tensor:
        groups, out_size = self.groups, self.out_channels // self.groups
        by_group = scale.reshape(groups, 1, -1).expand(groups, out_size, -1)
        return self.weight * by_group.reshape(self.out_channels, -1, 1, 1)


def centred(x: torch.Tensor, mean: Optional[torch.Tensor]) -> torch.Tensor:
    """``x`` less ``mean`` (1, C, 1, 1), if given: added, as subtracting would negate the whole gradient."""
    return x if mean is None else x + (-mean).to(x.dtype)


class ConvNorm(nn.Module):
    """Convolution and norm, nothing after. With proxy norm the norm learns a scale but no shift."""

    def __init__(self, spec: EfficientNetSpec, conv: ConvSpec) -> None:
        super().__init__()
        self.conv = Conv(conv, same=spec.padding == "same")
        self.norm = make_norm(spec, conv.out_channels, affine="scale" if spec.has_proxy_norm else "full")

    def forward(
        self, x: torch.Tensor, mean: Optional[torch.Tensor] = None, scale: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """(N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride)), of (x - mean) * scale if given."""
        return self.norm(self.conv(centred(x, mean), scale))


class ConvNormAct(nn.Module):
    """Convolution, norm, activation. ``deferred`` leaves ``act.moments()`` to the caller."""

    def __init__(self, spec: EfficientNetSpec, conv: ConvSpec, *, deferred: bool = False) -> None:
        super().__init__()
        self.conv = Conv(conv, same=spec.padding == "same")
        self.norm = make_norm(spec, conv.out_channels, affine="none" if spec.has_proxy_norm else "full")
        self.act = make_activation(spec, conv.out_channels)
        self.act.deferred = deferred

    def forward(
        self, x: torch.Tensor, mean: Optional[torch.Tensor] = None, scale: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """(N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride)), of (x - mean) * scale if given."""
        return self.act(self.norm(self.conv(centred(x, mean), scale), *self.act.affine()))


def global_mean(x: torch.Tensor) -> torch.Tensor:
    """Mean over pixels, (N, C, 1, 1).

    As a sum, because the gradient of ``mean`` is written out in full size where that of ``sum`` is a view;
    but in half precision a sum would overflow.
    """
    if x.dtype == torch.float16:
        return x.mean((2, 3), keepdim=True)
    return x.sum((2, 3), keepdim=True) * (1 / (x.shape[2] * x.shape[3]))


class BiasedConv1x1(nn.Conv2d):
    """A 1x1 convolution whose bias is cast to the type of its input.

    With half activations over float32 parameters torch refuses the bias. Weights need no cast: PopTorch casts
    them, as it does those of the convolutions without a bias.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in, H, W) -> (N, out, H, W), of x's type."""
        return F.conv2d(x, self.weight, self.bias.to(x.dtype))


class SqueezeExcite(nn.Module):
    """Scales every channel by a gate made from all channels' means; swish inside, sigmoid at the end."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.reduce = BiasedConv1x1(channels, squeezed)
        self.expand = BiasedConv1x1(squeezed, channels)

    def forward(
        self, x: torch.Tensor, mean: Optional[torch.Tensor] = None, scale: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """``mean``, ``scale``: what a deferred activation left; (x - mean) * scale * gate(x - mean)."""
        pooled = global_mean(x)
        if mean is None:
            return x * self.gate(pooled)
        mean = mean.to(x.dtype)
        gate = self.gate(pooled - mean) * scale.to(x.dtype)
        return torch.addcmul(-mean * gate, x, gate)

    def gate(self, pooled: torch.Tensor) -> torch.Tensor:
        """(N, C, 1, 1) -> (N, C, 1, 1), each between 0 and 1."""
        return torch.sigmoid(self.expand(F.silu(self.reduce(pooled))))


class ResidualBlock(nn.Module):
    """What all kinds of block share: the branch is added to the input where size and width allow it."""

    def __init__(self, block: BlockSpec) -> None:
        super().__init__()
        self.has_skip = block.has_skip
        self.drop_connect = block.drop_connect

    def join(self, x: torch.Tensor, branch: torch.Tensor) -> torch.Tensor:
        """The block's output; in training the branch is dropped for some samples."""
        if not self.has_skip:
            return branch
        if not self.training or self.drop_connect == 0:
            return x + branch
        return torch.addcmul(x, branch, drop_connect_factor(branch, self.drop_connect))


class MBConv(ResidualBlock):
    """Inverted bottleneck: expand 1x1, spatial (group) convolution, squeeze-excite, project 1x1, skip."""

    def __init__(self, spec: EfficientNetSpec, block: BlockSpec) -> None:
        super().__init__(block)
        assert block.spatial is not None and block.project is not None
        self.expand = None if block.expand is None else ConvNormAct(spec, block.expand, deferred=True)
        self.spatial = ConvNormAct(spec, block.spatial, deferred=True)
        self.se = SqueezeExcite(block.spatial.out_channels, block.se_channels)
        self.project = ConvNorm(spec, block.project)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride))."""
        if self.expand is None:
            y = self.spatial(x)
        else:
            y = self.spatial(self.expand(x), *self.expand.act.moments())
        y = self.se(y, *self.spatial.act.moments())
        return self.join(x, self.project(y))


class FusedMBConv(ResidualBlock):
    """A dense k x k convolution with norm and activation in the place of expansion and spatial convolution,
    then project 1x1, skip; no squeeze-excite (EfficientNetV2, arXiv 2104.00298).

    At a ratio of 1 the dense convolution is all there is, and what is added to the input is an activation.
    """

    def __init__(self, spec: EfficientNetSpec, block: BlockSpec) -> None:
        super().__init__(block)
        assert block.fused is not None
        self.fused = ConvNormAct(spec, block.fused, deferred=block.project is not None)
        self.project = None if block.project is None else ConvNorm(spec, block.project)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride))."""
        y = self.fused(x)
        if self.project is not None:
            y = self.project(y, *self.fused.act.moments())
        return self.join(x, y)


def drop_connect_factor(x: torch.Tensor, rate: float) -> torch.Tensor:
    """Per sample, 0 with probability ``rate`` and else 1 / (1 - rate); shape (N, 1, 1, 1)."""
    survival = 1 - rate
    keep = torch.rand((x.shape[0], 1, 1, 1), device=x.device) + survival >= 1
    return keep.to(x.dtype) * (1 / survival)


class Top(ConvNormAct):
    """Last convolution, global mean, dropout, classifier.

    A proxy activation's mean is subtracted after the global mean, its 1/std left out, as in the original.
    The classifier works in its own type: torch multiplies no half features with float32 weights.
    """

    def __init__(self, spec: EfficientNetSpec, conv: ConvSpec) -> None:
        super().__init__(spec, conv, deferred=True)
        self.dropout = nn.Dropout(spec.dropout)
        self.fc = nn.Linear(conv.out_channels, spec.num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> logits (N, classes)."""
        features = global_mean(super().forward(x))
        for mean in self.act.moments()[:1]:
            features = features - mean.to(features.dtype)
        return self.fc(self.dropout(features.flatten(1)).to(self.fc.weight.dtype))
