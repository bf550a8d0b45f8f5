"""A process can not use more than 64 IPUs."""

import torch

SIMULATOR_ONLY = "needs hardware"
RAISES = ("poptorch.Error", "Too many IPUs")


def program(poptorch):
    options = poptorch.Options().replicationFactor(128)
    return poptorch.inferenceModel(torch.nn.Linear(2, 2), options)(torch.ones(128, 2))
