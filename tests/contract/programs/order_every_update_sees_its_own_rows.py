"""D updates, each from the mean over A x R micro-batches of its own part of the rows."""

import torch

# update d: gradient = mean of rows [4d, 4d + 4) = 4d + 1.5; SGD, rate 1: -1.5, then -1.5 - 5.5
RETURNS = [[-7.0], [0.0, 0.0, 0.0, 0.0, -6.0, -7.5, -9.0, -10.5]]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.poptorch.identity_loss(self.weight * x, "mean")


def program(poptorch):
    options = poptorch.Options().deviceIterations(2).replicationFactor(2)
    options.outputMode(poptorch.OutputMode.All).Training.gradientAccumulation(2)
    model = Net(poptorch)
    training = poptorch.trainingModel(model, options, torch.optim.SGD(model.parameters(), lr=1.0))
    losses = training(torch.arange(8.0))
    return [model.weight, losses]
