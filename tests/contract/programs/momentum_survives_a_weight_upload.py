"""Uploading edited weights leaves the optimizer's state alone."""

import torch

# momentum 1, then the weight is set to 10 and the next step is 0.5 + 1
RETURNS = [-1.0, 8.5]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.poptorch.identity_loss(self.weight * x, "sum")


def program(poptorch):
    model = Net(poptorch)
    optimizer = poptorch.optim.SGD(model.parameters(), lr=1.0, momentum=0.5)
    training = poptorch.trainingModel(model, None, optimizer)
    training(torch.ones(1))
    first = float(model.weight.detach())
    training.load_state_dict({"weight": torch.full((1,), 10.0)})
    training(torch.ones(1))
    return [first, float(model.weight.detach())]
