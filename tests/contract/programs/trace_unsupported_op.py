"""An op without a handler is named."""

import torch

RAISES = ("poptorch.Error", "aten::erfinv")


class Net(torch.nn.Module):
    def forward(self, x):
        return torch.erfinv(x)


def program(poptorch):
    return poptorch.inferenceModel(Net())(torch.zeros(2))
