"""Running statistics that forward returns are those from before this run; the update is seen by the next."""

import torch

RETURNS = [[0.0, 0.0], [0.5, 0.5]]


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = torch.nn.BatchNorm2d(2, momentum=0.5)

    def forward(self, x):
        return self.norm(x), self.norm.running_mean


def program(poptorch):
    executor = poptorch.inferenceModel(Net())
    return [executor(torch.ones(1, 2, 2, 2))[1] for _ in range(2)]
