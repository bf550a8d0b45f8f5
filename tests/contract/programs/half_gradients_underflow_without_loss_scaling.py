"""A gradient below the smallest half is lost, unless the loss is scaled."""

import torch

RETURNS = [0.0, True]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch
        self.weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float16))

    def forward(self, x):
        y = self.weight * 1e-4
        return self.poptorch.identity_loss((y * 1e-4).float() * x, "sum")


def program(poptorch):
    found = []
    for scale in (1.0, 4096.0):
        model = Net(poptorch)
        optimizer = poptorch.optim.SGD(model.parameters(), lr=1e7, loss_scaling=scale)
        poptorch.trainingModel(model, None, optimizer)(torch.ones(1))
        found.append(float(model.weight.detach()))
    return [found[0], abs(found[1] + 0.1) < 1e-2]
