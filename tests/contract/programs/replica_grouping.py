"""Groups of replicas may have slices of their own of a parameter: neighbours, every second one, or each."""

import torch

RETURNS = [[1.0, 1.0, 2.0, 2.0], [1.0, 2.0, 1.0, 2.0], [1.0, 2.0, 3.0, 4.0]]


class Net(torch.nn.Module):
    def __init__(self, groups):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.arange(1.0, groups + 1)[:, None])

    def forward(self, x):
        return x * self.weight


def program(poptorch):
    kinds, found = poptorch.CommGroupType, []
    for kind, size, groups in ((kinds.Consecutive, 2, 2), (kinds.Orthogonal, 2, 2), (kinds.NoGrouping, 0, 4)):
        executor = poptorch.inferenceModel(Net(groups), poptorch.Options().replicationFactor(4))
        executor.weight.replicaGrouping(kind, size, poptorch.VariableRetrievalMode.OnePerGroup)
        found.append(executor(torch.ones(4, 1)).flatten())
    return found
