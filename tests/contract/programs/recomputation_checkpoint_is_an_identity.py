"""recomputationCheckpoint gives back what it gets, in the same form, on the CPU too."""

import torch

RETURNS = ["Tensor", "tuple", "list", [[1.0], [1.0]]]


def program(poptorch):
    x = torch.ones(1)
    one, several, listed = (
        poptorch.recomputationCheckpoint(x),
        poptorch.recomputationCheckpoint(x, x),
        poptorch.recomputationCheckpoint([x, x]),
    )
    return [type(one).__name__, type(several).__name__, type(listed).__name__, listed]
