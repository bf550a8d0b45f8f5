"""In-place assignment to a slice with a step is not supported."""

import torch

RAISES = ("poptorch.Error", "")


class Net(torch.nn.Module):
    def forward(self, x):
        y = x * 1
        y[::2] = 0
        return y


def program(poptorch):
    return poptorch.inferenceModel(Net())(torch.ones(4))
