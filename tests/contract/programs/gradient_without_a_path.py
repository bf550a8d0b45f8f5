"""A weight that the loss does not reach stays, decay or not being its own affair."""

import torch

RETURNS = [[1.0], [0.0]]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch
        self.idle = torch.nn.Parameter(torch.ones(1))
        self.busy = torch.nn.Parameter(torch.ones(1))

    def forward(self, x):
        metric = (self.idle * x).sum()
        return metric, self.poptorch.identity_loss(self.busy * x, "sum")


def program(poptorch):
    model = Net(poptorch)
    training = poptorch.trainingModel(model, None, torch.optim.SGD(model.parameters(), lr=1.0))
    training(torch.ones(1))
    return [model.idle, model.busy]
