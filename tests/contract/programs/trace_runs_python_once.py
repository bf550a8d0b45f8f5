"""The Python code of forward runs once; isRunningOnIpu is true only then."""

import torch

RETURNS = [1, True, False]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.seen = []
        self.is_running_on_ipu = poptorch.isRunningOnIpu

    def forward(self, x):
        self.seen.append(self.is_running_on_ipu())
        return x + 1.0


def program(poptorch):
    net = Net(poptorch)
    model = poptorch.inferenceModel(net)
    for _ in range(3):
        model(torch.ones(1))
    return [len(net.seen), net.seen[0], poptorch.isRunningOnIpu()]
