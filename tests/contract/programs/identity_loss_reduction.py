"""identity_loss takes sum, mean or none, and works on the CPU."""

import torch

RAISES = ("AssertionError", "")


def program(poptorch):
    x = torch.tensor([1.0, 3.0])
    assert poptorch.identity_loss(x, reduction="mean") == 2.0
    assert poptorch.identity_loss(x, reduction="sum") == 4.0
    assert poptorch.identity_loss(x, reduction="none").tolist() == [1.0, 3.0]
    return poptorch.identity_loss(x, reduction="max")
