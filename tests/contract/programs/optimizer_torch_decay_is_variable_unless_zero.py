"""Of a torch.optim object, weight_decay is a constant at 0 and a variable at any other value."""

import torch

# w = 1, gradient 0, rate 1: 1 - 0.5 * 1 = 0.5, then 0.5 - 0.25 * 0.5
RETURNS = [0.375, "Error"]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.poptorch.identity_loss(self.weight * x, "sum")


def run(poptorch, first, second):
    model = Net(poptorch)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, weight_decay=first)
    training = poptorch.trainingModel(model, None, optimizer)
    training(torch.zeros(1))
    optimizer.param_groups[0]["weight_decay"] = second
    training.setOptimizer(optimizer)
    training(torch.zeros(1))
    return float(model.weight.detach())


def program(poptorch):
    try:
        return [run(poptorch, 0.5, 0.25), run(poptorch, 0.0, 0.25)]
    except poptorch.Error as error:
        return [run(poptorch, 0.5, 0.25), type(error).__name__]
