"""Half weights round each update: a step below their resolution is lost."""

import torch

RETURNS = [[1.0], [0.9990234375]]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch
        self.weight = torch.nn.Parameter(torch.ones(1, dtype=torch.float16))

    def forward(self, x):
        return self.poptorch.identity_loss((self.weight * x).float(), "sum")


def program(poptorch):
    found = []
    for rate in (1e-4, 1e-3):
        model = Net(poptorch)
        training = poptorch.trainingModel(model, None, poptorch.optim.SGD(model.parameters(), lr=rate))
        training(torch.ones(1).half())
        found.append(model.weight.detach().float())
    return found
