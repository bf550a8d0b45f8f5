"""A buffer that is only read does not mind replicas."""

import torch

RETURNS = [[3.0, 4.0], -1.0]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.register_buffer("shift", torch.full((1,), 2.0))

    def forward(self, x):
        loss = self.poptorch.identity_loss((self.weight * (self.shift - 1)).sum(), "none")
        return x + self.shift + 0 * loss


def program(poptorch):
    options = poptorch.Options().replicationFactor(2)
    model = Net(poptorch)
    training = poptorch.trainingModel(model, options, torch.optim.SGD(model.parameters(), lr=1.0))
    return [training(torch.tensor([1.0, 2.0])), float(model.weight.detach())]
