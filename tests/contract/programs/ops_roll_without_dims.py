"""roll without dims takes one shift only."""

import torch

RAISES = ("Exception", "")


class Net(torch.nn.Module):
    def forward(self, x):
        return x.roll((1, 1))


def program(poptorch):
    return poptorch.inferenceModel(Net())(torch.ones(2, 2))
