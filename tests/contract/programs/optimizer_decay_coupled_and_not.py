"""Adam adds the decay to the gradient, AdamW to the weight; both step by the rate at first."""

import torch

# w = 2, gradient 1: Adam moves by lr; AdamW also by lr * decay * w
RETURNS = [1.9, 1.8]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch
        self.weight = torch.nn.Parameter(torch.full((1,), 2.0))

    def forward(self, x):
        return self.poptorch.identity_loss(self.weight * x, "sum")


def program(poptorch):
    found = []
    for kind in (poptorch.optim.Adam, poptorch.optim.AdamW):
        model = Net(poptorch)
        optimizer = kind(model.parameters(), lr=0.1, weight_decay=0.5)
        poptorch.trainingModel(model, None, optimizer)(torch.ones(1))
        found.append(round(float(model.weight.detach()), 4))
    return found
