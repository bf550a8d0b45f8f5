"""The IPUs of a replica are counted up to the highest id: ids 0 and 2 need three."""

import torch

RAISES = ("poptorch.Error", "")
SIMULATOR_ONLY = "needs hardware with three IPUs"


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.first = torch.nn.Linear(2, 2)
        self.second = poptorch.BeginBlock(torch.nn.Linear(2, 2), ipu_id=2)

    def forward(self, x):
        return self.second(self.first(x))


def program(poptorch):
    options = poptorch.Options().deviceIterations(4)
    model = Net(poptorch)
    rounded = options.clone().autoRoundNumIPUs(True)
    assert poptorch.inferenceModel(model, rounded)(torch.ones(4, 2)).shape == (4, 2)
    poptorch.inferenceModel(model, options)(torch.ones(4, 2))
