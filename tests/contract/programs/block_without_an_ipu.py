"""With AutoStage.SameAsIpu every block needs an ipu_id."""

import torch

RAISES = ("AssertionError", "SameAsIpu")


def program(poptorch):
    layer = poptorch.BeginBlock(torch.nn.Linear(2, 2), "first")
    return poptorch.inferenceModel(layer)(torch.ones(1, 2))
