"""Without an optimizer SGD at a rate of 0.01 is used."""

import torch

RETURNS = [-0.01]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.identity_loss = poptorch.identity_loss

    def forward(self, x):
        return self.identity_loss(self.weight * x, reduction="sum")


def program(poptorch):
    model = Net(poptorch)
    training = poptorch.trainingModel(model)
    training(torch.ones(1))
    return model.weight.detach()
