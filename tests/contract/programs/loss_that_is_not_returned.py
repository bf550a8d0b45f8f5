"""A loss need not be an output, and two marks in a row count once."""

import torch

RETURNS = [[3.0], -1.0]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        inner = self.poptorch.identity_loss(self.weight * x, "sum")
        self.poptorch.identity_loss(inner, "none")
        return x + 2


def program(poptorch):
    model = Net(poptorch)
    training = poptorch.trainingModel(model, None, torch.optim.SGD(model.parameters(), lr=1.0))
    return [training(torch.ones(1)), float(model.weight.detach())]
