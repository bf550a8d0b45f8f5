"""A rate given in the parameter groups only is compiled in."""

import torch

RAISES = ("poptorch.Error", "")


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.identity_loss = poptorch.identity_loss

    def forward(self, x):
        return self.identity_loss(self.weight * x, reduction="sum")


def program(poptorch):
    model = Net(poptorch)
    optimizer = poptorch.optim.RMSprop([{"params": [model.weight], "lr": 0.1}])
    training = poptorch.trainingModel(model, None, optimizer)
    training(torch.ones(1))
    optimizer.param_groups[0]["lr"] = 0.05
    training.setOptimizer(optimizer)
    training(torch.ones(1))
