"""With floating point exceptions on, an overflow in half stops the call."""

import torch

RAISES = ("poptorch.Error", "")
SIMULATOR_ONLY = "the IPU model has no floating point exceptions"


class Square(torch.nn.Module):
    def forward(self, x):
        return x * x


def program(poptorch):
    x = torch.full((1,), 300.0).half()
    assert torch.isinf(poptorch.inferenceModel(Square())(x)).all()
    options = poptorch.Options()
    options.Precision.enableFloatingPointExceptions(True)
    poptorch.inferenceModel(Square(), options)(x)
