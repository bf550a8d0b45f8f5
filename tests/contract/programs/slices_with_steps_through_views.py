"""A view of a stepped slice may not be written to either."""

import torch

RAISES = ("poptorch.Error", "step")


class Net(torch.nn.Module):
    def forward(self, x):
        y = x * 1
        y[::2].view(-1, 1).mul_(2)
        return y


def program(poptorch):
    return poptorch.inferenceModel(Net())(torch.ones(4))
