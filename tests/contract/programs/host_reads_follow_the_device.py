"""Touching parameters() or a parameter after training brings the device's weights home, without a call."""

import torch

RETURNS = [-1.0, -2.0, -3.0, -4.0]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.poptorch.identity_loss(self.weight * x, "sum")


def program(poptorch):
    model = Net(poptorch)
    training = poptorch.trainingModel(model, None, torch.optim.SGD(model.parameters(), lr=1.0))
    x = torch.ones(1)
    training(x)
    found = [float(next(iter(model.parameters())).detach())]
    training(x)
    found.append(float(model.state_dict()["weight"]))
    training(x)
    found.append(float(model.weight.detach()))
    training(x)
    return [*found, float(training.model.state_dict()["weight"])]
