"""One call with D = 3 makes three updates at one rate."""

import torch

# loss = w^2 / 2: each step of rate 0.5 halves the weight
RETURNS = [1.0]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([8.0]))
        self.identity_loss = poptorch.identity_loss

    def forward(self, x):
        return self.identity_loss(0.5 * self.weight * self.weight + 0.0 * x.sum(), reduction="sum")


def program(poptorch):
    model = Net(poptorch)
    options = poptorch.Options().deviceIterations(3)
    training = poptorch.trainingModel(model, options, poptorch.optim.SGD(model.parameters(), lr=0.5))
    training(torch.zeros(3))
    return model.state_dict()["weight"]
