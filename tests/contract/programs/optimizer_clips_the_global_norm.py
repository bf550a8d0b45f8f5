"""max_grad_norm clips the norm of all gradients together, after averaging and unscaling."""

import torch

RETURNS = [[-0.6], [-0.8]]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch
        self.first = torch.nn.Parameter(torch.zeros(1))
        self.second = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.poptorch.identity_loss((3 * self.first + 4 * self.second) * x, "sum")


def program(poptorch):
    model = Net(poptorch)
    options = poptorch.Options()
    options.Training.gradientAccumulation(2)
    optimizer = poptorch.optim.SGD(model.parameters(), lr=1.0, loss_scaling=8.0, max_grad_norm=1.0)
    poptorch.trainingModel(model, options, optimizer)(torch.tensor([1.0, 3.0]))
    return [model.first, model.second]
