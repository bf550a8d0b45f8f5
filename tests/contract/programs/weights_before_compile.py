"""Weights can not be copied before there is an executable."""

import torch

RAISES = ("poptorch.Error", "has not been compiled")


def program(poptorch):
    poptorch.inferenceModel(torch.nn.Linear(2, 2)).copyWeightsToHost()
