"""With a connection of type Never a model can be compiled, not run."""

import torch

RAISES = ("AssertionError", "offline device")


def program(poptorch):
    options = poptorch.Options().useOfflineIpuTarget()
    model = poptorch.inferenceModel(torch.nn.Linear(2, 2), options)
    model.compile(torch.ones(1, 2))
    assert model.isCompiled()
    return model(torch.ones(1, 2))
