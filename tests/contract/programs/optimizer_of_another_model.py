"""Parameters are matched by their data: another model's optimizer is a KeyError."""

import torch

RAISES = ("KeyError", "")


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(2, 2)

    def forward(self, x):
        return torch.nn.functional.mse_loss(self.fc(x), x)


def program(poptorch):
    optimizer = poptorch.optim.SGD(Net().parameters(), lr=0.1)
    return poptorch.trainingModel(Net(), None, optimizer)(torch.ones(1, 2))
