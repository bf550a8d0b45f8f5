"""Parameter groups keep their own rates, and the number of groups can not change."""

import torch

RAISES = ("poptorch.Error", "")


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.slow = torch.nn.Parameter(torch.zeros(1))
        self.fast = torch.nn.Parameter(torch.zeros(1))
        self.identity_loss = poptorch.identity_loss

    def forward(self, x):
        return self.identity_loss((self.slow + self.fast) * x, reduction="sum")


def program(poptorch):
    model = Net(poptorch)
    groups = [{"params": [model.slow]}, {"params": [model.fast], "lr": 10.0}]
    training = poptorch.trainingModel(model, None, poptorch.optim.SGD(groups, lr=1.0))
    training(torch.ones(1))
    assert [float(model.slow.detach()), float(model.fast.detach())] == [-1.0, -10.0]
    training.setOptimizer(poptorch.optim.SGD([model.slow, model.fast], lr=1.0))
    training(torch.ones(1))
