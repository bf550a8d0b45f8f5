"""Reading with steps is fine, and so is changing what was computed from such a slice."""

import torch

RETURNS = [2.0, 4.0]


class Net(torch.nn.Module):
    def forward(self, x):
        y = x[::2] + 0
        y += 1
        return y


def program(poptorch):
    return poptorch.inferenceModel(Net())(torch.tensor([1.0, 2.0, 3.0, 4.0]))
