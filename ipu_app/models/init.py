"""Start values: those of the original (truncated normal by fan, arXiv 2106.03640's TensorFlow code)."""

from __future__ import annotations

import math

from torch import nn

# Standard deviation of a standard normal cut at 2 sigma: dividing by it restores unit variance
TRUNCATED_STD = 0.87962566103423978


def init_weights(model: nn.Module) -> None:
    """Set every convolution and linear layer; norms and proxy parameters already start at their values.

    Spatial convolutions of the blocks use fan-in per group, all others fan-out; the classifier is Glorot
    uniform; biases are 0.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            _init_conv(module, spatial=name.endswith("spatial.conv"))
        elif isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)


def _init_conv(conv: nn.Conv2d, *, spatial: bool) -> None:
    pixels = conv.kernel_size[0] * conv.kernel_size[1]
    fan = pixels * (conv.in_channels // conv.groups if spatial else conv.out_channels)
    std = math.sqrt(2 / fan) / TRUNCATED_STD
    nn.init.trunc_normal_(conv.weight, std=std, a=-2 * std, b=2 * std)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
