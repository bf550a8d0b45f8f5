"""Weights without requires_grad and weights in no group stay."""

import torch

RETURNS = [[1.0], [1.0], [0.0]]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch
        self.frozen = torch.nn.Parameter(torch.ones(1), requires_grad=False)
        self.outside = torch.nn.Parameter(torch.ones(1))
        self.inside = torch.nn.Parameter(torch.ones(1))

    def forward(self, x):
        total = (self.frozen + self.outside + self.inside) * x
        return self.poptorch.identity_loss(total, "sum")


def program(poptorch):
    model = Net(poptorch)
    optimizer = poptorch.optim.SGD([model.frozen, model.inside], lr=1.0)
    poptorch.trainingModel(model, None, optimizer)(torch.ones(1))
    return [model.frozen, model.outside, model.inside]
