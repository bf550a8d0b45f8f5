"""Overlapped I/O is refused with PipelinedExecution, the default, and wants output mode All or Sum."""

import torch

RETURNS = ["Error", [1.0, 2.0]]
SIMULATOR_ONLY = "needs hardware with I/O tiles"


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch

    def forward(self, x):
        mode = self.poptorch.OverlapMode.OverlapAccumulationLoop
        return self.poptorch.set_overlap_for_input(x, mode) * 1


def program(poptorch):
    options = poptorch.Options().deviceIterations(2)
    options.TensorLocations.numIOTiles(32)
    sharded = options.clone().setExecutionStrategy(poptorch.ShardedExecution())
    found = []
    try:
        poptorch.inferenceModel(Net(poptorch), options)(torch.tensor([1.0, 2.0]))
    except poptorch.Error as error:
        found.append(type(error).__name__)
    return [*found, poptorch.inferenceModel(Net(poptorch), sharded)(torch.tensor([1.0, 2.0]))]
