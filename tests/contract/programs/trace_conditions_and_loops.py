"""cond and for_loop work in inference, on lists only, and are refused in training."""

import torch

RETURNS = [[8.0, 16.0], [1.0, 2.0], "ValueError", "Error"]


class Loop(torch.nn.Module):
    def __init__(self, poptorch, inputs=list):
        super().__init__()
        self.poptorch = poptorch
        self.inputs = inputs
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, x):
        y = self.poptorch.for_loop(3, lambda z: z * 2, self.inputs([x * self.weight]))[0]
        return y, self.poptorch.identity_loss(y, "sum")


class Choice(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch

    def forward(self, flag, x):
        return self.poptorch.cond(flag, lambda z: z * 1, [x], lambda z: z * 10, [x])[0]


def program(poptorch):
    x = torch.tensor([1.0, 2.0])
    found = [poptorch.inferenceModel(Loop(poptorch))(x)[0]]
    found.append(poptorch.inferenceModel(Choice(poptorch))(torch.tensor([True]), x))
    runs = (
        lambda: poptorch.inferenceModel(Loop(poptorch, lambda items: items[0]))(x),
        lambda: poptorch.trainingModel(Loop(poptorch))(x),
    )
    for run in runs:
        try:
            run()
        except (ValueError, poptorch.Error) as error:
            found.append(type(error).__name__)
    return found
