"""Surplus arguments are an AssertionError."""

import torch

RAISES = ("AssertionError", "")


class Same(torch.nn.Module):
    def forward(self, x):
        return x + 0.0


def program(poptorch):
    return poptorch.inferenceModel(Same())(torch.zeros(1), torch.zeros(1))
