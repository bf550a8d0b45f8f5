"""markAsConstant compiles an attribute in; a name that does not exist is an AssertionError."""

import torch

RETURNS = ["AssertionError", True, "Error"]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.poptorch.identity_loss(self.weight * x, "sum")


def program(poptorch):
    model = Net(poptorch)
    optimizer = poptorch.optim.SGD(model.parameters(), lr=1.0)
    found = []
    try:
        optimizer.variable_attrs.markAsConstant("learning_rate")
    except Exception as error:
        found.append(type(error).__name__)
    optimizer.variable_attrs.markAsConstant("lr")
    found.append(optimizer.variable_attrs.isConstant("lr"))
    training = poptorch.trainingModel(model, None, optimizer)
    training(torch.ones(1))
    optimizer.param_groups[0]["lr"] = 0.5
    try:
        training.setOptimizer(optimizer)
        training(torch.ones(1))
    except poptorch.Error as error:
        found.append(type(error).__name__)
    return found
