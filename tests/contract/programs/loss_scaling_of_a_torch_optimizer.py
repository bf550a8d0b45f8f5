"""A torch optimizer may carry loss_scaling as an attribute: it scales half gradients, not updates."""

import torch

RETURNS = [-1.0, True]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch
        self.weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float16))

    def forward(self, x):
        return self.poptorch.identity_loss((self.weight * x).float(), "sum")


def program(poptorch):
    found = []
    for scale in (64.0, 1e5):
        model = Net(poptorch)
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        optimizer.loss_scaling = scale
        poptorch.trainingModel(model, None, optimizer)(torch.ones(1).half())
        found.append(float(model.weight.detach()))
    return [found[0], not abs(found[1]) < float("inf")]
