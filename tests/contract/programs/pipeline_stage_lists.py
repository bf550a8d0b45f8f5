"""Stages may hold several blocks: Stage("a", "b"), a list of names, and one name."""

import torch

RETURNS = [["a", "b"], "number of pipeline stages (3)", [6.0, 6.0, 6.0]]
SIMULATOR_ONLY = "needs hardware with four IPUs"


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch

    def forward(self, x):
        for name in "abcde":
            with self.poptorch.Block(name):
                x = x + 1
        return x


def program(poptorch):
    first = poptorch.Stage("a", "b").ipu(0)
    strategy = poptorch.PipelinedExecution(first, ["c", "d"], "e")
    options = poptorch.Options().autoRoundNumIPUs(True).setExecutionStrategy(strategy)
    try:
        poptorch.inferenceModel(Net(poptorch), options.clone().deviceIterations(2))(torch.ones(2))
    except poptorch.Error as error:
        part = "number of pipeline stages (3)" if "(3)" in str(error) else str(error)
    found = poptorch.inferenceModel(Net(poptorch), options.deviceIterations(3))(torch.ones(3))
    return [list(first.blocks), part, found]
