"""After destroy there is nothing to copy, and the weights are home already."""

import torch

RAISES = ("poptorch.Error", "Model has not been compiled or has been destroyed")


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.poptorch.identity_loss(self.weight * x, "sum")


def program(poptorch):
    model = Net(poptorch)
    training = poptorch.trainingModel(model, None, torch.optim.SGD(model.parameters(), lr=1.0))
    training(torch.ones(1))
    training.destroy()
    assert type(model) is Net
    assert float(model.weight.detach()) == -1.0
    training.copyWeightsToHost()
