"""_Popart.set takes anything; an unknown key is refused when the model is compiled."""

import torch

RAISES = ("poptorch.Error", "Unknown bool option enableOutlinig")


def program(poptorch):
    options = poptorch.Options()
    options._Popart.set("enableOutlinig", True)
    model = poptorch.inferenceModel(torch.nn.Linear(2, 2), options)
    return model(torch.ones(1, 2))
