"""Class weights are not supported in nll_loss."""

import torch

RAISES = ("poptorch.Error", "weight")


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(2, 2)
        self.loss = torch.nn.CrossEntropyLoss(weight=torch.ones(2))

    def forward(self, x, y):
        return self.loss(self.fc(x), y)


def program(poptorch):
    return poptorch.trainingModel(Net())(torch.ones(1, 2), torch.zeros(1, dtype=torch.long))
