"""A new optimizer object keeps the device's state: momentum goes on."""

import torch

# steps 1, 1.5 (0.5 * 1 + 1), then rate 0.1: 0.1 * 1.75
RETURNS = [-1.0, -2.5, -2.675]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.poptorch.identity_loss(self.weight * x, "sum")


def program(poptorch):
    model = Net(poptorch)

    def kind(rate):
        return poptorch.optim.SGD(model.parameters(), lr=rate, momentum=0.5)

    training = poptorch.trainingModel(model, None, kind(1.0))
    found = []
    for call in range(3):
        if call == 2:
            training.setOptimizer(kind(0.1))
        training(torch.ones(1))
        found.append(float(model.weight.detach()))
    return found
