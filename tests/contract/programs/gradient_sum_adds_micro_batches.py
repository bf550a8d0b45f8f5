"""Reduction Sum leaves the sum of the micro-batches' gradients."""

import torch

# four micro-batches with mean gradients 0.5, 2.5, 4.5 and 6.5
RETURNS = [-14.0]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.identity_loss = poptorch.identity_loss

    def forward(self, x):
        return self.identity_loss(x * self.weight, reduction="mean")


def program(poptorch):
    options = poptorch.Options().replicationFactor(2)
    options.Training.gradientAccumulation(2)
    options.Training.accumulationAndReplicationReductionType(poptorch.ReductionType.Sum)
    model = Net(poptorch)
    training = poptorch.trainingModel(model, options, poptorch.optim.SGD(model.parameters(), lr=1.0))
    training(torch.arange(8.0))
    return model.weight.detach()
