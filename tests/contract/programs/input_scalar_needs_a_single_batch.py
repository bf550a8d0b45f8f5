"""A 0-d tensor counts as one row, so it is legal only where a call is one micro-batch."""

import torch

RAISES = ("AssertionError", "Invalid batch dimension")


class Scale(torch.nn.Module):
    def forward(self, x, factor):
        return x * factor


def program(poptorch):
    single = poptorch.inferenceModel(Scale())
    assert single(torch.ones(2), torch.tensor(3.0)).tolist() == [3.0, 3.0]
    double = poptorch.inferenceModel(Scale(), poptorch.Options().deviceIterations(2))
    return double(torch.ones(2), torch.tensor(3.0))
