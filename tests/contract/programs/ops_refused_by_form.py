"""Operations that are lowered, but not in this form, each with what PopTorch says of it."""

import torch
from torch.nn import functional

RETURNS = ["indices", "reflect", "replicate", "linear", "bincount", "bfloat16", "var"]
SIMULATOR_ONLY = "the last is refused by PopTorch's front end and taken by its tests"


class Net(torch.nn.Module):
    def __init__(self, function, poptorch):
        super().__init__()
        self.function, self.poptorch = function, poptorch
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.poptorch.identity_loss(self.function(x * self.weight).float().sum(), "none")


def program(poptorch):
    forms = {
        "indices": (lambda x: functional.max_pool2d(x, 2, return_indices=True)[0], "indices"),
        "reflect": (lambda x: functional.pad(x, (1, 1, 1, 1), mode="reflect"), "no gradient"),
        "replicate": (lambda x: functional.pad(x, (1, 1, 1, 1), mode="replicate"), "no gradient"),
        "linear": (lambda x: functional.interpolate(x[0], scale_factor=2, mode="linear"), "only 'nearest'"),
        "bincount": (lambda x: torch.bincount(x.flatten().int()), "minlength"),
        "bfloat16": (lambda x: x.bfloat16(), "BFloat16"),
        "var": (lambda x: x.var(), "over all dimensions"),
    }
    found = []
    for name, (function, said) in forms.items():
        try:
            poptorch.trainingModel(Net(function, poptorch))(torch.ones(1, 2, 4, 4))
        except poptorch.Error as error:
            found.append(name if said in str(error) else str(error))
    return found
