"""Parameters in no group and parameters without requires_grad are not updated."""

import torch

RETURNS = [[-1.0], [0.0], [0.0]]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.trained = torch.nn.Parameter(torch.zeros(1))
        self.frozen = torch.nn.Parameter(torch.zeros(1), requires_grad=False)
        self.outside = torch.nn.Parameter(torch.zeros(1))
        self.identity_loss = poptorch.identity_loss

    def forward(self, x):
        total = (self.trained + self.frozen + self.outside) * x
        return self.identity_loss(total, reduction="sum")


def program(poptorch):
    model = Net(poptorch)
    optimizer = poptorch.optim.SGD([model.trained, model.frozen], lr=1.0)
    training = poptorch.trainingModel(model, None, optimizer)
    training(torch.ones(1))
    return [p.detach().clone() for p in (model.trained, model.frozen, model.outside)]
