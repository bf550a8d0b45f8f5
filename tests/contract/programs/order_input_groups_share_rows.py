"""Replicas of an input group get the same rows (D = A = 1)."""

import torch

RETURNS = [0.0, 2.0, 0.0, 2.0, 4.0, 6.0, 4.0, 6.0]


class Double(torch.nn.Module):
    def forward(self, x):
        return x * 2


def program(poptorch):
    options = poptorch.Options().replicationFactor(4)
    options.inputReplicaGrouping(2, poptorch.CommGroupType.Consecutive)
    return poptorch.inferenceModel(Double(), options)(torch.arange(4.0))
