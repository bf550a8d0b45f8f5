"""Losses of a training call in mode Sum: divide by D * A and average over replicas to get the mean."""

import torch

RETURNS = 3.5


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, x):
        return torch.nn.functional.l1_loss(x * self.weight, torch.zeros_like(x))


def program(poptorch):
    options = poptorch.Options().deviceIterations(2).replicationFactor(2)
    options.outputMode(poptorch.OutputMode.Sum)
    options.Training.gradientAccumulation(2)
    model = Net()
    training = poptorch.trainingModel(model, options, poptorch.optim.SGD(model.parameters(), lr=0.0))
    losses = training(torch.arange(8.0))
    assert losses.shape == (2,)
    return float(losses.mean() / 4)
