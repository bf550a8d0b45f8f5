"""A half accumulator keeps a running mean: large micro-batch gradients do not overflow their sum."""

import torch

RETURNS = [-30000.0, -30000.0]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch
        self.weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float16))

    def forward(self, x):
        return self.poptorch.identity_loss((self.weight * x).float(), "sum")


def program(poptorch):
    found = []
    for kind in (torch.float32, torch.float16):
        model = Net(poptorch)
        options = poptorch.Options()
        options.Training.gradientAccumulation(4)
        optimizer = poptorch.optim.SGD(model.parameters(), lr=1.0, accum_type=kind, use_combined_accum=False)
        training = poptorch.trainingModel(model, options, optimizer)
        training(torch.full((4,), 30000.0).half())
        found.append(round(float(model.weight.detach()) / 100) * 100.0)
    return found
