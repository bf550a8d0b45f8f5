"""Shapes that depend on data are refused."""

import torch

RAISES = ("RuntimeError", "Type inference failed for aten::nonzero")


class Net(torch.nn.Module):
    def forward(self, x):
        return x[x > 0]


def program(poptorch):
    return poptorch.inferenceModel(Net())(torch.ones(2))
