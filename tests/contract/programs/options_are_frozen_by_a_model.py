"""Options given to a model can not be changed; a clone can."""

import torch

RAISES = ("AttributeError", "Can't modify frozen Options")


def program(poptorch):
    options = poptorch.Options()
    poptorch.inferenceModel(torch.nn.Linear(2, 2), options)
    options.clone().deviceIterations(2)
    options.deviceIterations(2)
