"""The wrapped module is a shallow copy: eval() after wrapping reaches sub-modules, not the top-level flag."""

import torch

RETURNS = [[2.0] * 8]


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.drop = torch.nn.Dropout(0.9)

    def forward(self, x):
        return self.drop(x) * (2 if self.training else 3)


def program(poptorch):
    net = Net()
    model = poptorch.inferenceModel(net)
    net.eval()
    return [model(torch.ones(8))]
