"""Exceptions of user code in forward pass through unchanged."""

import torch

RAISES = ("LookupError", "my own")


class Net(torch.nn.Module):
    def forward(self, x):
        raise LookupError("my own")


def program(poptorch):
    return poptorch.inferenceModel(Net())(torch.ones(1))
