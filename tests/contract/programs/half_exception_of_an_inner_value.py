"""An overflow stops the run even where no output shows it."""

import torch

RAISES = ("poptorch.Error", "")
SIMULATOR_ONLY = "the IPU model has no floating point exceptions"


class Net(torch.nn.Module):
    def forward(self, x):
        return 1 / (x * x)


def program(poptorch):
    x = torch.full((1,), 300.0).half()
    assert float(poptorch.inferenceModel(Net())(x)) == 0.0
    options = poptorch.Options()
    options.Precision.enableFloatingPointExceptions(True)
    poptorch.inferenceModel(Net(), options)(x)
