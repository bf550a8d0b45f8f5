"""A Python condition on a tensor is refused."""

import torch

RAISES = ("NotImplementedError", "__bool__")


class Net(torch.nn.Module):
    def forward(self, x):
        return x + 1.0 if x.sum() > 0 else x


def program(poptorch):
    return poptorch.inferenceModel(Net())(torch.ones(2))
