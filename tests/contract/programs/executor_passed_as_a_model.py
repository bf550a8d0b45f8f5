"""inferenceModel of a training executor wraps the user's model; other names are forwarded to it."""

import torch

RETURNS = [[[3.0]], "twice", "AttributeError", True]


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(2, 1)
        torch.nn.init.ones_(self.fc.weight)
        torch.nn.init.ones_(self.fc.bias)
        self.kind = "twice"

    def forward(self, x, target=None):
        y = self.fc(x)
        return y if target is None else torch.nn.functional.mse_loss(y, target)


def program(poptorch):
    model = Net()
    training = poptorch.trainingModel(model, None, torch.optim.SGD(model.parameters(), lr=0.0))
    training(torch.ones(1, 2), torch.ones(1, 1))
    inference = poptorch.inferenceModel(training)
    try:
        missing = training.no_such_name
    except Exception as error:
        missing = type(error).__name__
    return [inference(torch.ones(1, 2)), training.kind, missing, training.fc is model.fc]
