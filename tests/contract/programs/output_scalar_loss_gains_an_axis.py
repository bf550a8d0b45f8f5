"""A 0-d output becomes [n] when n values are returned: four micro-batches in mode All give four losses."""

import torch

RETURNS = [0.5, 2.5, 4.5, 6.5]


class Loss(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, x):
        return torch.nn.functional.l1_loss(x * self.weight, torch.zeros_like(x))


def program(poptorch):
    options = poptorch.Options().outputMode(poptorch.OutputMode.All)
    options.Training.gradientAccumulation(4)
    model = Loss()
    training = poptorch.trainingModel(model, options, poptorch.optim.SGD(model.parameters(), lr=0.0))
    return training(torch.arange(8.0))
