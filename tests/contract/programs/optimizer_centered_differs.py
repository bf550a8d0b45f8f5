"""centered must be equal in all groups."""

import torch

RAISES = ("AssertionError", "")


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(2, 2)

    def forward(self, x):
        return torch.nn.functional.mse_loss(self.first(x), x)


def program(poptorch):
    model = Net()
    groups = [
        {"params": [model.first.weight], "centered": True},
        {"params": [model.first.bias], "centered": False},
    ]
    optimizer = poptorch.optim.RMSprop(groups, lr=0.1)
    poptorch.trainingModel(model, None, optimizer)(torch.ones(1, 2))
