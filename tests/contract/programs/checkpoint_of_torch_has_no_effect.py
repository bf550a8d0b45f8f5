"""torch.utils.checkpoint changes nothing: the backward pass is made by the compiler."""

import torch
from torch.utils.checkpoint import checkpoint

RETURNS = True


class Net(torch.nn.Module):
    def __init__(self, wrapped):
        super().__init__()
        self.wrapped = wrapped
        self.fc = torch.nn.Linear(2, 2)

    def forward(self, x):
        y = checkpoint(self.fc, x, use_reentrant=False) if self.wrapped else self.fc(x)
        return torch.nn.functional.mse_loss(y, x)


def program(poptorch):
    found = []
    for wrapped in (False, True):
        torch.manual_seed(0)
        model = Net(wrapped)
        poptorch.trainingModel(model)(torch.ones(1, 2))
        found.append(model.fc.weight.detach().clone())
    return torch.allclose(*found, atol=1e-6)
