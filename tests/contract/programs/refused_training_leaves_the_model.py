"""After a failed compilation the same model can be wrapped again, its weights untouched."""

import torch

RETURNS = ["Error", [[1.0, 1.0]], True]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch
        self.fc = torch.nn.Linear(2, 1, bias=False)
        torch.nn.init.ones_(self.fc.weight)
        self.marked = False

    def forward(self, x):
        y = self.fc(x).sum()
        return self.poptorch.identity_loss(y, "sum") if self.marked else y


def program(poptorch):
    model = Net(poptorch)
    training = poptorch.trainingModel(model)
    try:
        training(torch.ones(1, 2))
    except poptorch.Error as error:
        name = type(error).__name__
    training.destroy()
    weights = model.fc.weight.detach().clone()
    model.marked = True
    training = poptorch.trainingModel(model, None, torch.optim.SGD(model.parameters(), lr=1.0))
    training(torch.ones(1, 2))
    return [name, weights, bool((model.fc.weight == 0).all())]
