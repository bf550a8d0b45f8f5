"""Mode Sum adds over device iterations and accumulation, one sum per replica; nothing is averaged."""

import torch

RETURNS = [0.0 + 2.0 + 4.0 + 6.0, 1.0 + 3.0 + 5.0 + 7.0]


class MeanLoss(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.identity_loss = poptorch.identity_loss

    def forward(self, x):
        return self.identity_loss((x * self.weight).mean(), reduction="none")


def program(poptorch):
    options = poptorch.Options().deviceIterations(2).replicationFactor(2)
    options.Training.gradientAccumulation(2)
    options.outputMode(poptorch.OutputMode.Sum)
    model = MeanLoss(poptorch)
    training = poptorch.trainingModel(model, options, poptorch.optim.SGD(model.parameters(), lr=0.0))
    return training(torch.arange(8.0))
