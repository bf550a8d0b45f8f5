"""BlockFunction puts what a function does into a block; Block.start opens one without an end."""

import torch

RETURNS = ["(2)", "(2)", 1.0]
SIMULATOR_ONLY = "needs hardware with two IPUs"


class Decorated(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.second = poptorch.BlockFunction("second", ipu_id=1)(self.add)

    def add(self, x):
        return x + 1

    def forward(self, x):
        return self.second(x * 2)


class Started(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.start = poptorch.Block.start

    def forward(self, x):
        x = x * 2
        self.start("second", ipu_id=1)
        return x + 1


def program(poptorch):
    found = []
    for net in (Decorated(poptorch), Started(poptorch)):
        try:
            poptorch.inferenceModel(net)(torch.ones(1))
        except poptorch.Error as error:
            found.append("(2)" if "number of pipeline stages (2)" in str(error) else str(error))
    return [*found, float(Started(poptorch)(torch.zeros(1)))]
