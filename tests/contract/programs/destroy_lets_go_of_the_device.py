"""destroy lets go of the device, and the model may be wrapped again."""

import torch

RETURNS = [False, False, [[2.0]]]


def program(poptorch):
    layer = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(layer.weight, 2.0)
    model = poptorch.inferenceModel(layer)
    model(torch.ones(1, 1))
    model.destroy()
    states = [model.isCompiled(), model.isAttachedToDevice()]
    return [*states, poptorch.inferenceModel(layer)(torch.ones(1, 1))]
