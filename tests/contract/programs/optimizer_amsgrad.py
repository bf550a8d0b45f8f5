"""amsgrad is refused."""

import torch

RAISES = ("ValueError", "amsgrad")


def program(poptorch):
    model = torch.nn.Linear(2, 2)
    optimizer = poptorch.optim.Adam(model.parameters(), lr=0.1, amsgrad=True)
    return poptorch.trainingModel(model, None, optimizer)
