"""identity_loss marks the final loss; the ones before it are folded in, arithmetic included."""

import torch

# d/dw of 3 * |w*x - 0| + (w*x)^2 at w = 1, x = 1 is 3 + 2, so a step of rate 0.1 leads to 0.5
RETURNS = [0.5]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.identity_loss = poptorch.identity_loss

    def forward(self, x):
        y = self.weight * x
        zero = torch.zeros_like(y)
        total = 3.0 * torch.nn.functional.l1_loss(y, zero) + torch.nn.functional.mse_loss(y, zero)
        return self.identity_loss(total, reduction="none")


def program(poptorch):
    model = Net(poptorch)
    training = poptorch.trainingModel(model, None, poptorch.optim.SGD(model.parameters(), lr=0.1))
    training(torch.ones(1))
    return model.weight.detach()
