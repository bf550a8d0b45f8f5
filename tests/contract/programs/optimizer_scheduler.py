"""A scheduler's rates reach the device by setOptimizer, once per call and for all its updates."""

import warnings

import torch

RETURNS = [-2.0, -3.0, -4.0, -4.25]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.poptorch.identity_loss(self.weight * x, "sum")


def program(poptorch):
    model = Net(poptorch)
    optimizer = poptorch.optim.SGD(model.parameters(), lr=1.0)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    training = poptorch.trainingModel(model, poptorch.Options().deviceIterations(2), optimizer)
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for call in range(4):
            training(torch.ones(2))
            found.append(float(model.weight.detach()))
            scheduler.step()
            if call != 1:
                training.setOptimizer(optimizer)
    return found
