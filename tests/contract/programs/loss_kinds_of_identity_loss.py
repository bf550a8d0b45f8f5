"""identity_loss on the host: sum, mean, and none; another name is an AssertionError."""

import torch

RETURNS = [6.0, 2.0, [1.0, 2.0, 3.0], "AssertionError"]


def program(poptorch):
    x = torch.tensor([1.0, 2.0, 3.0])
    found = [poptorch.identity_loss(x, kind) for kind in ("sum", "mean", "none")]
    try:
        poptorch.identity_loss(x, "average")
    except Exception as error:
        found.append(type(error).__name__)
    return found
