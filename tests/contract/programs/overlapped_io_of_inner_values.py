"""Only transfers of inputs and outputs overlap with compute."""

import torch

RAISES = ("poptorch.Error", "set_overlap_for_input applied on a node which is not a tensor input")


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch

    def forward(self, x):
        mode = self.poptorch.OverlapMode.OverlapAccumulationLoop
        return self.poptorch.set_overlap_for_input(x + 1, mode)


def program(poptorch):
    options = poptorch.Options().setExecutionStrategy(poptorch.ShardedExecution())
    options.TensorLocations.numIOTiles(32)
    poptorch.inferenceModel(Net(poptorch), options)(torch.ones(1))
