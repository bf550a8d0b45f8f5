"""SameAsIpu: every block needs an ipu_id."""

import torch

RAISES = ("AssertionError", "")
SIMULATOR_ONLY = "needs hardware with two IPUs"


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.second = poptorch.BeginBlock(torch.nn.Linear(2, 2), "second")

    def forward(self, x):
        return self.second(x)


def program(poptorch):
    poptorch.inferenceModel(Net(poptorch))(torch.ones(1, 2))
