"""Two pipeline stages need an accumulation of at least 3 in training."""

import torch

RAISES = (
    "poptorch.Error",
    "gradientAccumulation must be greater than or equal to the number of pipeline stages",
)


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.first = torch.nn.Linear(2, 2)
        self.second = poptorch.BeginBlock(torch.nn.Linear(2, 2), ipu_id=1)

    def forward(self, x):
        return torch.nn.functional.mse_loss(self.second(self.first(x)), x)


def program(poptorch):
    options = poptorch.Options()
    options.Training.gradientAccumulation(2)
    return poptorch.trainingModel(Net(poptorch), options)(torch.ones(2, 2))
