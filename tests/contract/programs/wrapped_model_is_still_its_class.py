"""Wrapping for training keeps the model's class, keys and unknown attributes reachable."""

import torch

RETURNS = [True, ["fc.weight", "fc.bias"], "hello"]


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(1, 1)
        self.greeting = "hello"

    def forward(self, x):
        return torch.nn.functional.mse_loss(self.fc(x), x)


def program(poptorch):
    model = Net()
    training = poptorch.trainingModel(model)
    training(torch.ones(1, 1))
    return [isinstance(model, Net), list(model.state_dict()), training.greeting]
