"""The TF variant has the rate inside its momentum: a change of it acts late."""

import torch

# v1 = 0.5 * 1 + 0.5 * 4 = 2.5, then 3.25; m = lr * 2 / sqrt(v1), then 0.5 * m + 0
RETURNS = [-1.264911, -1.897367]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.poptorch.identity_loss(2 * self.weight * x, "sum")


def program(poptorch):
    model = Net(poptorch)
    optimizer = poptorch.optim.RMSprop(
        model.parameters(), lr=1.0, alpha=0.5, eps=0.0, momentum=0.5, use_tf_variant=True
    )
    training = poptorch.trainingModel(model, None, optimizer)
    training(torch.ones(1))
    first = float(model.weight.detach())
    optimizer.param_groups[0]["lr"] = 0.0
    training.setOptimizer(optimizer)
    training(torch.ones(1))
    return [first, float(model.weight.detach())]
