"""A number that changes must be a tensor of all rows; a batch of one row per micro-batch serves."""

import torch

RETURNS = [[2.0, 4.0, 9.0, 12.0], "Invalid batch dimension"]


class Net(torch.nn.Module):
    def forward(self, x, factor):
        return x * factor


def program(poptorch):
    options = poptorch.Options().deviceIterations(2)
    x = torch.tensor([1.0, 2.0, 3.0, 4.0])
    found = [poptorch.inferenceModel(Net(), options)(x, torch.tensor([2.0, 3.0]))]
    try:
        poptorch.inferenceModel(Net(), options)(x, torch.tensor(2.0))
    except AssertionError as error:
        found.append(str(error)[:23])
    return found
