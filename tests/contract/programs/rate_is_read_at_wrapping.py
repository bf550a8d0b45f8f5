"""The optimizer is read when a model is wrapped: an edit before the first call needs setOptimizer too."""

import torch

RETURNS = [[-1.0], [-6.0]]


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
    optimizer.param_groups[0]["lr"] = 5.0
    training(torch.ones(1))
    first = model.weight.detach().clone()
    training.setOptimizer(optimizer)
    training(torch.ones(1))
    return [first, model.weight.detach().clone()]
