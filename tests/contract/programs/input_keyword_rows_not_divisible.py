"""Keyword inputs take the same check as positional ones."""

import torch

RAISES = ("AssertionError", "Invalid batch dimension")


class Add(torch.nn.Module):
    def forward(self, x, bias=None):
        return x + bias


def program(poptorch):
    options = poptorch.Options().deviceIterations(2)
    return poptorch.inferenceModel(Add(), options)(torch.zeros(4, 2), bias=torch.zeros(1, 2))
