"""ShardedExecution splits the model without overlap, so an accumulation of 1 is enough."""

import torch

RETURNS = []


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.first = torch.nn.Linear(2, 2)
        self.second = poptorch.BeginBlock(torch.nn.Linear(2, 2), ipu_id=1)

    def forward(self, x):
        return torch.nn.functional.mse_loss(self.second(self.first(x)), x)


def program(poptorch):
    options = poptorch.Options().setExecutionStrategy(poptorch.ShardedExecution())
    return list(poptorch.trainingModel(Net(poptorch), options)(torch.ones(2, 2)).shape)
