"""Values that are no tensors are compiled in."""

import torch

RAISES = ("poptorch.Error", "Value mismatch")


class Scale(torch.nn.Module):
    def forward(self, x, factor):
        return x * factor


def program(poptorch):
    model = poptorch.inferenceModel(Scale())
    assert model(torch.ones(2), 3).tolist() == [3.0, 3.0]
    return model(torch.ones(2), 4)
