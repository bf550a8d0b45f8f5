"""randperm is a permutation, arange counts, roll shifts the rows of a micro-batch."""

import torch

RETURNS = [[0, 1, 2, 3, 4], "int32", [0, 2, 4], [1.0, 0.0, 3.0, 2.0]]


class Permutation(torch.nn.Module):
    def forward(self, x):
        order = torch.randperm(5)
        return order, torch.arange(0, 6, 2), x


class Roll(torch.nn.Module):
    def forward(self, x):
        return x.roll(1, 0)


def program(poptorch):
    order, steps, _ = poptorch.inferenceModel(Permutation())(torch.ones(1))
    options = poptorch.Options().deviceIterations(2)
    rolled = poptorch.inferenceModel(Roll(), options)(torch.arange(4.0))
    return [sorted(order.tolist()), str(order.dtype)[6:], steps, rolled]
