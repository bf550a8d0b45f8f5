"""adaptive_avg_pool2d needs input sizes divisible by output sizes."""

import torch

RAISES = ("poptorch.Error", "")


def program(poptorch):
    pool = torch.nn.AdaptiveAvgPool2d(2)
    assert poptorch.inferenceModel(pool)(torch.ones(1, 1, 4, 4)).shape == (1, 1, 2, 2)
    return poptorch.inferenceModel(torch.nn.AdaptiveAvgPool2d(2))(torch.ones(1, 1, 5, 5))
