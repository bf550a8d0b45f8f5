"""A tensor kept on self while tracing is no value of a later call."""

import torch

RETURNS = [[2.0], [4.0], "unreadable"]


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.kept = []

    def forward(self, x):
        y = x * 2
        self.kept.append(y)
        return y


def program(poptorch):
    net = Net()
    model = poptorch.inferenceModel(net)
    found = [model(torch.ones(1)), model(2 * torch.ones(1))]
    assert len(net.kept) == 1
    try:
        net.kept[0].tolist()
    except Exception:
        found.append("unreadable")
    return found
