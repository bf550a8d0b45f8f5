"""An integer buffer is a constant on the device: a step counter never advances."""

import torch

RETURNS = [[1], [1]]


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("steps", torch.zeros(1, dtype=torch.int32))

    def forward(self, x):
        self.steps.add_(1)
        return self.steps * x


def program(poptorch):
    model = poptorch.inferenceModel(Net())
    x = torch.ones(1, dtype=torch.int32)
    return [model(x), model(x)]
