"""An attribute that was not given to the constructor is a constant: changing it is an error at upload."""

import torch

RAISES = ("poptorch.Error", "momentum")


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.poptorch.identity_loss(self.weight * x, "sum")


def program(poptorch):
    model = Net(poptorch)
    optimizer = poptorch.optim.SGD(model.parameters(), lr=1.0)
    training = poptorch.trainingModel(model, None, optimizer)
    training(torch.ones(1))
    optimizer.param_groups[0]["momentum"] = 0.9
    training.setOptimizer(optimizer)
    training(torch.ones(1))
