"""Two losses that do not end in one are refused."""

import torch

RAISES = ("poptorch.Error", "Multiple independent losses found in graph")


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(2, 2)

    def forward(self, x):
        y = self.fc(x)
        return torch.nn.functional.mse_loss(y, x), torch.nn.functional.l1_loss(y, x)


def program(poptorch):
    return poptorch.trainingModel(Net())(torch.ones(1, 2))
