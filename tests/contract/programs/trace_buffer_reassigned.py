"""Assigning a buffer in forward is refused; copy_ is the way."""

import torch

RAISES = ("poptorch.Error", "copy_")


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x):
        self.count = self.count + 1.0
        return x + self.count


def program(poptorch):
    return poptorch.inferenceModel(Net())(torch.ones(2))
