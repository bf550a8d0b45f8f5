"""Final: the last micro-batch of the last iteration of each replica, all its rows."""

import torch

RETURNS = [[20.0, 21.0, 22.0, 23.0], [20.5, 22.5]]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        loss = self.poptorch.identity_loss(self.weight * x.mean(), "sum")
        return x * 1, x.mean() + 0 * loss


def program(poptorch):
    options = poptorch.Options().deviceIterations(2).replicationFactor(2)
    options.Training.gradientAccumulation(3)
    training = poptorch.trainingModel(Net(poptorch), options)
    return training(torch.arange(24.0))
