"""cross_entropy with probabilities holds no loss of its own."""

import torch

RAISES = ("poptorch.Error", "Couldn't find a loss in graph!")


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(2, 2)

    def forward(self, x, target):
        return torch.nn.functional.cross_entropy(self.fc(x), target)


def program(poptorch):
    return poptorch.trainingModel(Net())(torch.ones(1, 2), torch.tensor([[0.5, 0.5]]))
