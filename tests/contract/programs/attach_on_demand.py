"""OnDemand attaches at the first run, not at compilation."""

import torch

RETURNS = [True, False, True]


def program(poptorch):
    options = poptorch.Options().connectionType(poptorch.ConnectionType.OnDemand)
    model = poptorch.inferenceModel(torch.nn.Linear(2, 1), options)
    model.compile(torch.ones(1, 2))
    states = [model.isCompiled(), model.isAttachedToDevice()]
    model(torch.ones(1, 2))
    return [*states, model.isAttachedToDevice()]
