"""Dim 0 of every input must be divisible by D * R * A."""

import torch

RAISES = ("AssertionError", "Invalid batch dimension")


class Same(torch.nn.Module):
    def forward(self, x):
        return x + 0.0


def program(poptorch):
    options = poptorch.Options().deviceIterations(4)
    return poptorch.inferenceModel(Same(), options)(torch.zeros(6, 2))
