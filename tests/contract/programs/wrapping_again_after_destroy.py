"""After destroy a model may be wrapped again, for other shapes, and goes on from its weights."""

import torch

RETURNS = [-1.0, -3.0]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.poptorch.identity_loss(self.weight * x, "sum")


def program(poptorch):
    model = Net(poptorch)
    found = []
    for rows in (1, 2):
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        training = poptorch.trainingModel(model, None, optimizer)
        training(torch.ones(rows))
        training.destroy()
        found.append(float(model.weight.detach()))
    return found
