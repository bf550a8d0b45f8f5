"""Inference over two pipeline stages needs at least two device iterations."""

import torch

RAISES = ("poptorch.Error", "deviceIterations must be greater than or equal to the number of pipeline stages")


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.first = torch.nn.Linear(2, 2)
        self.second = poptorch.BeginBlock(torch.nn.Linear(2, 2), ipu_id=1)

    def forward(self, x):
        return self.second(self.first(x))


def program(poptorch):
    return poptorch.inferenceModel(Net(poptorch))(torch.ones(1, 2))
