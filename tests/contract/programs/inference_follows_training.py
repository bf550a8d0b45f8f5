"""An inference executor of the same model takes over new training weights by itself."""

import torch

RETURNS = [[1.0], [0.5]]


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, x, target=None):
        y = x * self.weight
        return y if target is None else torch.nn.functional.mse_loss(y, target)


def program(poptorch):
    model = Net()
    training = poptorch.trainingModel(model, None, poptorch.optim.SGD(model.parameters(), lr=0.25))
    inference = poptorch.inferenceModel(model)
    before = inference(torch.ones(1))
    training(torch.ones(1), torch.zeros(1))
    return [before, inference(torch.ones(1))]
