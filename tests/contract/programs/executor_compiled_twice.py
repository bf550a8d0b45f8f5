"""compile changes no weight, and a second one only warns."""

import torch

RETURNS = [True, 1.0, 0.0]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.poptorch.identity_loss(self.weight * x, "sum")


def program(poptorch):
    model = Net(poptorch)
    training = poptorch.trainingModel(model, None, torch.optim.SGD(model.parameters(), lr=1.0))
    training.compile(torch.ones(1))
    training.compile(torch.ones(1))
    before = float(model.weight.detach())
    training(torch.ones(1))
    return [training.isCompiled(), before, float(model.weight.detach())]
