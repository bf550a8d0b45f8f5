"""A missing argument of forward is an error of PopTorch."""

import torch

RAISES = ("poptorch.Error", "")


class Add(torch.nn.Module):
    def forward(self, x, y):
        return x + y


def program(poptorch):
    return poptorch.inferenceModel(Add())(torch.ones(1))
