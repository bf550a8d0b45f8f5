"""Arithmetic after one implicit loss is an error here: the device would silently leave it out."""

import torch

RAISES = ("poptorch.Error", "identity_loss")
SIMULATOR_ONLY = "PopTorch accepts it and differentiates the torch loss alone"


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(2, 2)

    def forward(self, x):
        loss = torch.nn.functional.mse_loss(self.fc(x), x)
        return loss + 1e-4 * self.fc.weight.square().sum()


def program(poptorch):
    return poptorch.trainingModel(Net())(torch.ones(1, 2))
