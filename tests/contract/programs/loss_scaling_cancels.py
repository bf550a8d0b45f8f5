"""A loss scale multiplies the loss's gradient and is divided out by the optimizer."""

import torch

RETURNS = [-2.0]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.identity_loss = poptorch.identity_loss

    def forward(self, x):
        return self.identity_loss(x * self.weight, reduction="mean")


def program(poptorch):
    model = Net(poptorch)
    optimizer = poptorch.optim.SGD(model.parameters(), lr=1.0, loss_scaling=1024.0)
    training = poptorch.trainingModel(model, None, optimizer)
    training(torch.full((4,), 2.0))
    return model.weight.detach()
