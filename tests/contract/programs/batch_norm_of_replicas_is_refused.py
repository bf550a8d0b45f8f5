"""Running statistics updated by several replicas can not be broadcast."""

import torch

RAISES = ("poptorch.Error", "PopTorch does not support broadcasting buffers")


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(3)

    def forward(self, x):
        return torch.nn.functional.mse_loss(self.norm(x), x)


def program(poptorch):
    options = poptorch.Options().replicationFactor(2)
    poptorch.trainingModel(Net(), options)(torch.randn(4, 3))
