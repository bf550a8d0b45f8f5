"""Training options are refused for inference: accumulation must be 1."""

import torch

RAISES = ("poptorch.Error", "gradientAccumulation")


def program(poptorch):
    options = poptorch.Options()
    options.Training.gradientAccumulation(4)
    return poptorch.inferenceModel(torch.nn.Linear(2, 2), options)
