"""After a failed compilation the model stays wrapped, its weights untouched: train another copy."""

import torch

RETURNS = ["Error", [[1.0, 1.0]], "RuntimeError"]


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(2, 1, bias=False)
        torch.nn.init.ones_(self.fc.weight)

    def forward(self, x):
        return self.fc(x).sum()


def program(poptorch):
    model = Net()
    training = poptorch.trainingModel(model)
    try:
        training(torch.ones(1, 2))
    except poptorch.Error as error:
        found = [type(error).__name__]
    training.destroy()
    found.append(model.fc.weight.detach().clone())
    try:
        poptorch.trainingModel(model)
    except RuntimeError as error:
        found.append(type(error).__name__)
    return found
