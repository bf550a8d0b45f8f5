"""EfficientNet as an ordered dict of named blocks, which is what pipelines are cut from."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from ipu_app.config.kinds import BLOCKS
from ipu_app.models.init import init_weights
from ipu_app.models.layout import block_specs, stem_conv, top_conv
from ipu_app.models.network_parts import ConvNormAct, Top
from ipu_app.models.network_spec import EfficientNetSpec
from ipu_app.models.proxy import ProxyActivation, shared_moments


class EfficientNet(nn.Module):
    """The network of a spec, freshly initialised from torch's global random state.

    ``blocks`` holds ``block0`` (stem), ``block1a``, ``block2a``, ... and ``Top``, in order of execution.
    ``initialise`` False saves the seconds that the method's start values take in a network whose weights are
    loaded next; until then its weights mean nothing. ``shares_moments`` lets all proxy activations work out
    their statistics at once, which one device does faster, and a pipeline cannot do.
    """

    shares_moments = False

    def __init__(self, spec: EfficientNetSpec, *, initialise: bool = True) -> None:
        super().__init__()
        self.spec = spec
        blocks = OrderedDict()
        blocks["block0"] = ConvNormAct(spec, stem_conv(spec))
        for block in block_specs(spec):
            blocks[block.name] = BLOCKS[block.kind].load()(spec, block)
        blocks["Top"] = Top(spec, top_conv(spec))
        self.blocks = nn.ModuleDict(blocks)
        self._proxy_activations = [each for each in self.modules() if isinstance(each, ProxyActivation)]
        if initialise:
            init_weights(self, spec.start_values)

    def set_dropout(self, rate: float) -> None:
        """Leave out this share of the classifier's inputs from now on."""
        self.blocks["Top"].dropout.p = rate

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images (N, 3, H, W), already normalised -> logits (N, classes)."""
        x = images
        with shared_moments(self._proxy_activations if self.shares_moments else ()):
            for block in self.blocks.values():
                x = block(x)
        return x
