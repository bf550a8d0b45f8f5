"""BeginBlock takes modules and callables; anything else is an error."""

import torch

RAISES = ("poptorch.Error", "")


def program(poptorch):
    doubled = poptorch.BeginBlock(lambda x: x * 2.0, ipu_id=0)
    assert doubled(torch.ones(1)).tolist() == [2.0]
    return poptorch.BeginBlock(3, ipu_id=0)
