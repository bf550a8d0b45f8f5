"""var knows the corrections 0 and 1; any other is read as 1."""

import torch

RETURNS = [[2.0], [3.0], [3.0]]


class Net(torch.nn.Module):
    def forward(self, x):
        return [torch.var(x, 1, correction=number) for number in (0, 1, 2)]


def program(poptorch):
    return poptorch.inferenceModel(Net())(torch.tensor([[1.0, 1.0, 4.0]]))
