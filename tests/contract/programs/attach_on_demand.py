"""OnDemand attaches when it compiles, as loading the engine does; detached, at the next run."""

import torch

RETURNS = [True, True, False, True]


def program(poptorch):
    options = poptorch.Options().connectionType(poptorch.ConnectionType.OnDemand)
    model = poptorch.inferenceModel(torch.nn.Linear(2, 1), options)
    model.compile(torch.ones(1, 2))
    states = [model.isCompiled(), model.isAttachedToDevice()]
    model.detachFromDevice()
    states.append(model.isAttachedToDevice())
    model(torch.ones(1, 2))
    return [*states, model.isAttachedToDevice()]
