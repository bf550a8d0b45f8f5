"""A loss that no output depends on is dropped with everything else that nobody reads: there is none left."""

import torch

RAISES = ("poptorch.Error", "Couldn't find a loss in graph!")


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        self.poptorch.identity_loss(self.weight * x, "sum")
        return x + 2


def program(poptorch):
    poptorch.trainingModel(Net(poptorch))(torch.ones(1))
