"""Calling a detached executor attaches it again."""

import torch

RETURNS = [False, True, False, True, [[4.0]], True]


def program(poptorch):
    layer = torch.nn.Linear(2, 1)
    torch.nn.init.constant_(layer.weight, 2.0)
    torch.nn.init.zeros_(layer.bias)
    model = poptorch.inferenceModel(layer)
    states = [model.isCompiled()]
    model.compile(torch.ones(1, 2))
    states += [model.isAttachedToDevice()]
    model.detachFromDevice()
    states += [model.isAttachedToDevice(), model.isCompiled()]
    return [*states, model(torch.ones(1, 2)), model.isAttachedToDevice()]
