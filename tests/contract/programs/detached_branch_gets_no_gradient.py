"""detach and no_grad are honoured on the device."""

import torch

RETURNS = [[-1.0], [0.0], [0.0]]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.a = torch.nn.Parameter(torch.zeros(1))
        self.b = torch.nn.Parameter(torch.zeros(1))
        self.c = torch.nn.Parameter(torch.zeros(1))
        self.identity_loss = poptorch.identity_loss

    def forward(self, x):
        with torch.no_grad():
            constant = self.c * x
        return self.identity_loss(self.a * x + (self.b * x).detach() + constant, reduction="sum")


def program(poptorch):
    model = Net(poptorch)
    training = poptorch.trainingModel(model, None, poptorch.optim.SGD(model.parameters(), lr=1.0))
    training(torch.ones(1))
    return [p.detach().clone() for p in (model.a, model.b, model.c)]
