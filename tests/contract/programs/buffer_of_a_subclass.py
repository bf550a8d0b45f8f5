"""Wrapping for training wants buffers that are exactly torch.Tensor."""

import torch

RAISES = ("poptorch.Error", "")


class Odd(torch.Tensor):
    pass


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(2, 2)
        self.register_buffer("odd", torch.ones(2).as_subclass(Odd))

    def forward(self, x):
        return torch.nn.functional.mse_loss(self.fc(x), x)


def program(poptorch):
    poptorch.trainingModel(Net())(torch.ones(1, 2))
