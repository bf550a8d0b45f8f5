"""Only poptorch.Options are options."""

import torch

RAISES = ("poptorch.Error", "Invalid type: 'options'")


def program(poptorch):
    return poptorch.inferenceModel(torch.nn.Linear(2, 2), {"deviceIterations": 2})
