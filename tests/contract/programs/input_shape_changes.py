"""Later calls must have the shapes of the first."""

import torch

RAISES = ("poptorch.Error", "Shape mismatch")


class Same(torch.nn.Module):
    def forward(self, x):
        return x + 0.0


def program(poptorch):
    model = poptorch.inferenceModel(Same())
    model(torch.zeros(4, 2))
    return model(torch.zeros(2, 2))
