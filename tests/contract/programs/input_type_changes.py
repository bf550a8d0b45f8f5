"""Later calls must have the data types of the first."""

import torch

RAISES = ("poptorch.Error", "Data type mismatch")


class Same(torch.nn.Module):
    def forward(self, x):
        return x + x


def program(poptorch):
    model = poptorch.inferenceModel(Same())
    model(torch.zeros(4))
    return model(torch.zeros(4, dtype=torch.int32))
