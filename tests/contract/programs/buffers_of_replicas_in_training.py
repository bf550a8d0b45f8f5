"""With broadcastBuffers(False) each replica keeps its own running sum through calls."""

import torch

RETURNS = [[10.0, 20.0], [20.0, 40.0], [20.0, 40.0], [30.0, 60.0]]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.register_buffer("total", torch.zeros(1))

    def forward(self, x):
        self.total.add_(x)
        loss = self.poptorch.identity_loss(self.weight * x, "sum")
        return self.total * 1, loss


def program(poptorch):
    model = Net(poptorch)
    options = poptorch.Options().replicationFactor(2).broadcastBuffers(False)
    options.outputMode(poptorch.OutputMode.All)
    options.Training.gradientAccumulation(2)
    training = poptorch.trainingModel(model, options)
    out = training(torch.tensor([10.0, 20.0, 10.0, 20.0]))[0]
    more = training(torch.tensor([0.0, 0.0, 10.0, 20.0]))[0]
    return [out[:2], out[2:], more[:2], more[2:]]
