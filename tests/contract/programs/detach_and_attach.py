"""A detached executor attaches again when called; detaching twice is an error."""

import torch

RAISES = ("poptorch.Error", "")


def program(poptorch):
    model = poptorch.inferenceModel(torch.nn.Linear(2, 2))
    model(torch.ones(1, 2))
    assert model.isAttachedToDevice()
    model.detachFromDevice()
    assert not model.isAttachedToDevice()
    model(torch.ones(1, 2))
    assert model.isAttachedToDevice()
    model.detachFromDevice()
    model.detachFromDevice()
