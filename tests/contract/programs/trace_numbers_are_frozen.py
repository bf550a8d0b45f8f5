"""Shapes and Python attributes are read once, while tracing, with the shape of a micro-batch."""

import torch

RETURNS = [[3.5, 11.5], [3.5, 11.5], True, False]


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.shift = 3
        self.poptorch = None
        self.seen = None

    def forward(self, x):
        self.seen.append(self.poptorch.isRunningOnIpu())
        return x.sum() / len(x) + self.shift if x.shape[0] == 2 else x.sum()


def program(poptorch):
    net = Net()
    net.poptorch, net.seen = poptorch, []
    model = poptorch.inferenceModel(net, poptorch.Options().deviceIterations(2))
    rows = torch.tensor([0.0, 1.0, 8.0, 9.0])
    first = model(rows)
    net.shift = model.model.shift = 100
    return [first, model(rows), net.seen == [True], poptorch.isRunningOnIpu()]
