"""A parameter may not be assigned in forward either."""

import torch

RAISES = ("poptorch.Error", "is reassigned within the model")


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(2, 2)

    def forward(self, x):
        self.fc.weight = torch.nn.Parameter(self.fc.weight * 2)
        return self.fc(x)


def program(poptorch):
    poptorch.inferenceModel(Net())(torch.ones(1, 2))
