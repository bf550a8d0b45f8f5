"""An explicit loss scale is variable; the default one is compiled in."""

import torch

RAISES = ("poptorch.Error", "")


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.identity_loss = poptorch.identity_loss

    def forward(self, x):
        return self.identity_loss(self.weight * x, reduction="sum")


def two_calls(poptorch, **arguments):
    model = Net(poptorch)
    optimizer = poptorch.optim.SGD(model.parameters(), lr=1.0, **arguments)
    training = poptorch.trainingModel(model, None, optimizer)
    training(torch.ones(1))
    optimizer.loss_scaling = 64.0
    training.setOptimizer(optimizer)
    training(torch.ones(1))
    return float(model.weight.detach())


def program(poptorch):
    assert two_calls(poptorch, loss_scaling=2.0) == -2.0
    return two_calls(poptorch)
