"""EveryN is refused in pipelined execution."""

import torch

RAISES = ("poptorch.Error", "")


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.first = torch.nn.Linear(2, 2)
        self.second = poptorch.BeginBlock(torch.nn.Linear(2, 2), ipu_id=1)

    def forward(self, x):
        return self.second(self.first(x))


def program(poptorch):
    options = poptorch.Options().deviceIterations(4).outputMode(poptorch.OutputMode.EveryN, 2)
    return poptorch.inferenceModel(Net(poptorch), options)(torch.ones(4, 2))
