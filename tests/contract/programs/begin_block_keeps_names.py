"""BeginBlock changes the module in place: same object, same state_dict keys, no effect on the CPU."""

import torch

RETURNS = [True, ["weight", "bias"], [[2.0]]]


def program(poptorch):
    layer = torch.nn.Linear(1, 1)
    torch.nn.init.ones_(layer.weight)
    torch.nn.init.ones_(layer.bias)
    same = poptorch.BeginBlock(layer, "b", ipu_id=1)
    return [same is layer, list(layer.state_dict()), layer(torch.ones(1, 1)).detach()]
