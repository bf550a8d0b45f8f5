"""A model can be wrapped for training once, until destroy."""

import torch

RAISES = ("RuntimeError", "")


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(2, 2)

    def forward(self, x):
        return torch.nn.functional.mse_loss(self.fc(x), x)


def program(poptorch):
    model = Net()
    first = poptorch.trainingModel(model)
    first(torch.ones(1, 2))
    first.destroy()
    poptorch.trainingModel(model)
    return poptorch.trainingModel(model)
