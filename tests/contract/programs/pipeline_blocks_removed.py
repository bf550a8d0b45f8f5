"""removeBlocks undoes BeginBlock everywhere below a module, and the module may be given another block."""

import torch

RETURNS = [[[3.0]], True]
SIMULATOR_ONLY = "needs hardware with two IPUs"


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Linear(2, 1))
        poptorch.BeginBlock(self.body[1], "far", ipu_id=1)
        torch.nn.init.ones_(self.body[1].weight)
        torch.nn.init.ones_(self.body[1].bias)

    def forward(self, x):
        return self.body(x)


def program(poptorch):
    net = Net(poptorch)
    poptorch.removeBlocks(net)
    found = poptorch.inferenceModel(net)(torch.ones(1, 2))
    return [found, poptorch.BeginBlock(net.body[1], "near", ipu_id=0) is net.body[1]]
