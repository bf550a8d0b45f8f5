"""Start values, by two rules: those of arXiv 2106.03640's TensorFlow code (``truncated``) and those of the
released code of EfficientNetV2 (``normal``, google/automl).
"""

from __future__ import annotations

import math

from torch import nn

# Standard deviation of a standard normal cut at 2 sigma: dividing by it restores unit variance
TRUNCATED_STD = 0.87962566103423978


def init_weights(model: nn.Module, rule: str = "truncated") -> None:
    """Set every convolution and linear layer; norms and proxy parameters already start at their values.

    Variance is 2 / fan: fan-in per group for the blocks' spatial convolutions, fan-out for all others.
    ``truncated`` cuts at 2 sigma and makes the classifier Glorot uniform; ``normal`` cuts nothing and makes
    it uniform within 1 / sqrt(classes). Biases are 0.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            _init_conv(module, spatial=name.endswith("spatial.conv"), truncated=rule == "truncated")
        elif isinstance(module, nn.Linear):
            _init_classifier(module, glorot=rule == "truncated")


def _init_conv(conv: nn.Conv2d, *, spatial: bool, truncated: bool) -> None:
    pixels = conv.kernel_size[0] * conv.kernel_size[1]
    fan = pixels * (conv.in_channels // conv.groups if spatial else conv.out_channels)
    std = math.sqrt(2 / fan)
    if truncated:
        std = std / TRUNCATED_STD
        nn.init.trunc_normal_(conv.weight, std=std, a=-2 * std, b=2 * std)
    else:
        nn.init.normal_(conv.weight, std=std)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


def _init_classifier(linear: nn.Linear, *, glorot: bool) -> None:
    if glorot:
        nn.init.xavier_uniform_(linear.weight)
    else:
        bound = 1 / math.sqrt(linear.out_features)
        nn.init.uniform_(linear.weight, -bound, bound)
    nn.init.zeros_(linear.bias)
