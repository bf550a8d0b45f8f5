"""recomputationCheckpoint gives back what it gets: one tensor, several as a tuple, a list as a list."""

import torch

RETURNS = ["Tensor", "tuple", "list", "tuple", "ValueError"]


def program(poptorch):
    x, y = torch.ones(1), torch.ones(2)
    check = poptorch.recomputationCheckpoint
    found = [check(x), check(x, y), check([x, y]), check((x, y))]
    names = [type(value).__name__ for value in found]
    try:
        check(3)
    except Exception as error:
        names.append(type(error).__name__)
    return names
