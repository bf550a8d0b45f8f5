"""There is nothing to detach before compilation."""

import torch

RAISES = ("poptorch.Error", "")


def program(poptorch):
    poptorch.inferenceModel(torch.nn.Linear(2, 2)).detachFromDevice()
