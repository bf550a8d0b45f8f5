"""An optimizer that is none of the supported classes is an AssertionError."""

import torch

RAISES = ("AssertionError", "Unsupported optimizer type")


def program(poptorch):
    model = torch.nn.Linear(2, 2)
    return poptorch.trainingModel(model, None, torch.optim.Adagrad(model.parameters(), lr=0.1))
