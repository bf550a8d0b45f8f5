"""Nor may a buffer be deleted in forward."""

import torch

RAISES = ("poptorch.Error", "")


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.ones(1))

    def forward(self, x):
        y = x * self.scale
        del self.scale
        return y


def program(poptorch):
    poptorch.inferenceModel(Net())(torch.ones(1, 2))
