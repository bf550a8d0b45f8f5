"""An infinity put there on purpose may be computed with: a mask of -inf before a softmax stops nothing."""

import torch

RETURNS = [[0.5, 0.5, 0.0]]
SIMULATOR_ONLY = "the IPU model has no floating point exceptions"


class Net(torch.nn.Module):
    def forward(self, x):
        return x.masked_fill(x < 0, float("-inf")).softmax(1)


def program(poptorch):
    options = poptorch.Options()
    options.Precision.enableFloatingPointExceptions(True)
    return poptorch.inferenceModel(Net(), options)(torch.tensor([[1.0, 1.0, -1.0]]))
