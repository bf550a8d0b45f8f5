"""A sum-reduced loss is averaged over micro-batches only, so it differs from one big batch."""

import torch

# micro-batches of two ones: gradient 2 each, averaged over four of them
RETURNS = [-2.0]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.identity_loss = poptorch.identity_loss

    def forward(self, x):
        return self.identity_loss(self.weight * x, reduction="sum")


def program(poptorch):
    model = Net(poptorch)
    options = poptorch.Options()
    options.Training.gradientAccumulation(4)
    training = poptorch.trainingModel(model, options, poptorch.optim.SGD(model.parameters(), lr=1.0))
    training(torch.ones(8))
    return model.weight.detach()
