"""The sum of two losses is no loss without identity_loss."""

import torch

RAISES = ("poptorch.Error", "Wrap final graph loss in poptorch.identity_loss")


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(2, 2)

    def forward(self, x):
        y = self.fc(x)
        return torch.nn.functional.mse_loss(y, x) + torch.nn.functional.l1_loss(y, x)


def program(poptorch):
    return poptorch.trainingModel(Net())(torch.ones(1, 2))
