"""Restoring rng_state repeats the device's random numbers; each execution draws anew."""

import torch

RETURNS = [False, True]


def program(poptorch):
    options = poptorch.Options().randomSeed(3)
    model = poptorch.inferenceModel(torch.nn.Dropout(0.5).train(), options)
    x = torch.ones(256)
    model(x)
    state = model.rng_state
    first = model(x)
    second = model(x)
    model.rng_state = state
    return [torch.equal(first, second), torch.equal(first, model(x))]
