"""A module can begin one block only, until removeBlocks."""

import torch

RAISES = ("poptorch.Error", "")


def program(poptorch):
    layer = poptorch.BeginBlock(torch.nn.Linear(2, 2), ipu_id=0)
    poptorch.removeBlocks(layer)
    layer = poptorch.BeginBlock(layer, ipu_id=1)
    return poptorch.BeginBlock(layer, ipu_id=0)
