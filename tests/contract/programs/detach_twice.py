"""Detaching what is not attached is an error."""

import torch

RAISES = ("poptorch.Error", "ttached")


def program(poptorch):
    model = poptorch.inferenceModel(torch.nn.Linear(2, 2))
    model(torch.ones(1, 2))
    model.detachFromDevice()
    model.detachFromDevice()
