"""TensorFlow's RMSprop: the second moment starts at 1 and eps is inside the root."""

import math

import torch

# g = 2: v = 0.9 * 1 + 0.1 * 4 = 1.3; step = 0.1 * 2 / sqrt(1.3 + 0.01)
RETURNS = [-0.2 / math.sqrt(1.31)]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.identity_loss = poptorch.identity_loss

    def forward(self, x):
        return self.identity_loss(self.weight * x, reduction="sum")


def program(poptorch):
    model = Net(poptorch)
    optimizer = poptorch.optim.RMSprop(
        model.parameters(), lr=0.1, alpha=0.9, eps=0.01, momentum=0.5, use_tf_variant=True
    )
    training = poptorch.trainingModel(model, None, optimizer)
    training(torch.full((1,), 2.0))
    return model.weight.detach()
