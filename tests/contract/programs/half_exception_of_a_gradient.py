"""A scaled gradient that overflows stops the run, before the weights are touched."""

import torch

RETURNS = ["Error", 0.0]
SIMULATOR_ONLY = "the IPU model has no floating point exceptions"


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch
        self.weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float16))

    def forward(self, x):
        return self.poptorch.identity_loss((self.weight * x).float(), "sum")


def program(poptorch):
    model = Net(poptorch)
    options = poptorch.Options()
    options.Precision.enableFloatingPointExceptions(True)
    optimizer = poptorch.optim.SGD(model.parameters(), lr=1.0, loss_scaling=1024.0)
    training = poptorch.trainingModel(model, options, optimizer)
    try:
        training(torch.full((1,), 100.0).half())
    except poptorch.Error as error:
        found = [type(error).__name__]
    return [*found, float(model.weight.detach())]
