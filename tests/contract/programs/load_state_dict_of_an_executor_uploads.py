"""load_state_dict of an attached executor reaches the device without another call."""

import torch

RETURNS = [[3.0], [7.0]]


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.full((1,), 3.0))

    def forward(self, x):
        return self.weight * x


def program(poptorch):
    model = poptorch.inferenceModel(Net())
    first = model(torch.ones(1))
    model.load_state_dict({"weight": torch.full((1,), 7.0)})
    return [first, model(torch.ones(1))]
