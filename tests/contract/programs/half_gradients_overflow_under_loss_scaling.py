"""Gradients of half weights are half: a scale that is too large makes them infinite."""

import torch

RETURNS = [-100.0, True]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch
        self.weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float16))

    def forward(self, x):
        return self.poptorch.identity_loss((self.weight * x).float(), "sum")


def program(poptorch):
    found = []
    for scale in (16.0, 1024.0):
        model = Net(poptorch)
        optimizer = poptorch.optim.SGD(model.parameters(), lr=1.0, loss_scaling=scale)
        poptorch.trainingModel(model, None, optimizer)(torch.full((1,), 100.0).half())
        found.append(float(model.weight.detach()))
    return [found[0], not abs(found[1]) < float("inf")]
