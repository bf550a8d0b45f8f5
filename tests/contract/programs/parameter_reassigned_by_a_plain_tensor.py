"""Nor may a buffer be assigned a computed tensor; the counter of a batch norm is exempt."""

import torch

RAISES = ("poptorch.Error", "Consider using self.total.copy_(src)")


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("total", torch.zeros(1))
        self.norm = torch.nn.BatchNorm1d(1)

    def forward(self, x):
        y = self.norm(x)
        self.total = self.total + y.sum()
        return y


def program(poptorch):
    poptorch.inferenceModel(torch.nn.BatchNorm1d(1))(torch.ones(2, 1))
    poptorch.inferenceModel(Net())(torch.ones(2, 1))
