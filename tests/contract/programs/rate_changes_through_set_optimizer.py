"""A new rate counts only after setOptimizer."""

import torch

RETURNS = [[-1.0], [-2.0], [-12.0]]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.identity_loss = poptorch.identity_loss

    def forward(self, x):
        return self.identity_loss(self.weight * x, reduction="sum")


def program(poptorch):
    model = Net(poptorch)
    optimizer = poptorch.optim.SGD(model.parameters(), lr=1.0)
    training = poptorch.trainingModel(model, None, optimizer)
    seen = []
    for step in range(3):
        if step == 1:
            optimizer.param_groups[0]["lr"] = 10.0
        if step == 2:
            training.setOptimizer(optimizer)
        training(torch.ones(1))
        seen.append(model.weight.detach().clone())
    return seen
