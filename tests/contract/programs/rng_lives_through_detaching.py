"""Detaching keeps the random state: attached again, the stream goes on instead of starting over."""

import torch

RETURNS = 3


class Noise(torch.nn.Module):
    def forward(self, x):
        return x + torch.rand(1)


def program(poptorch):
    model = poptorch.inferenceModel(Noise(), poptorch.Options().randomSeed(1))
    found = {float(model(torch.zeros(1)))}
    for _ in range(2):
        model.detachFromDevice()
        found.add(float(model(torch.zeros(1))))
    return len(found)
