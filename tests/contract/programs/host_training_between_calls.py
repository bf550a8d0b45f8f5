"""A CPU step on the user's model starts from the device's weights and stays on the host until uploaded."""

import torch

RETURNS = [-1.0, -11.0, -2.0, -12.0, -13.0]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.poptorch.identity_loss(self.weight * x, "sum")


def host_step(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=10.0)
    model(torch.ones(1)).backward()
    optimizer.step()
    optimizer.zero_grad()
    return float(model.weight.detach())


def program(poptorch):
    model = Net(poptorch)
    training = poptorch.trainingModel(model, None, torch.optim.SGD(model.parameters(), lr=1.0))
    x = torch.ones(1)
    training(x)
    found = [float(model.weight.detach()), host_step(model)]
    training(x)
    found += [float(model.weight.detach()), host_step(model)]
    training.copyWeightsToDevice()
    training(x)
    return [*found, float(model.weight.detach())]
