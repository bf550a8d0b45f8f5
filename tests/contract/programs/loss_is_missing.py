"""A training graph must have a loss."""

import torch

RAISES = ("poptorch.Error", "Couldn't find a loss in graph")


def program(poptorch):
    return poptorch.trainingModel(torch.nn.Linear(2, 2))(torch.ones(1, 2))
