"""A list of one tensor stays a list, and one tensor returned twice comes back twice."""

import torch

RETURNS = ["list", 1, "tuple", True, [[1.0, 2.0], [1.0, 2.0]]]


class One(torch.nn.Module):
    def forward(self, x):
        return [x * 1]


class Twice(torch.nn.Module):
    def forward(self, x):
        y = x * 1
        return y, y


def program(poptorch):
    options = poptorch.Options().deviceIterations(2)
    x = torch.tensor([1.0, 2.0])
    one = poptorch.inferenceModel(One(), options)(x)
    two = poptorch.inferenceModel(Twice(), options)(x)
    return [type(one).__name__, len(one), type(two).__name__, len(two) == 2, list(two)]
