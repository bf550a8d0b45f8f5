"""Outputs carry no gradient: backward is refused."""

import torch

RAISES = ("poptorch.Error", "")


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(2, 2)

    def forward(self, x):
        return torch.nn.functional.mse_loss(self.fc(x), x)


def program(poptorch):
    poptorch.trainingModel(Net())(torch.ones(1, 2)).backward()
