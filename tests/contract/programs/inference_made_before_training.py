"""An inference executor made before training keeps its weights, one made after it follows the training."""

import torch

RETURNS = [[0.0], [0.0], [-1.0], [0.0], [-2.0]]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        y = self.weight * x
        return y, self.poptorch.identity_loss(y, "sum")


def program(poptorch):
    model = Net(poptorch)
    x = torch.ones(1)
    inference = poptorch.inferenceModel(model)
    found = [inference(x)[0]]
    training = poptorch.trainingModel(model, None, torch.optim.SGD(model.parameters(), lr=1.0))
    later = poptorch.inferenceModel(model)
    for _ in range(2):
        training(x)
        found += [inference(x)[0], later(x)[0]]
    return found
