"""state_dict holds the host parameters: an edit through it reaches the device by an upload."""

import torch

RETURNS = [[1.0], [5.0], [4.0], [4.0]]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, x):
        y = self.weight * x
        return y, self.poptorch.identity_loss(y, "sum")


def program(poptorch):
    model = Net(poptorch)
    training = poptorch.trainingModel(model, None, torch.optim.SGD(model.parameters(), lr=1.0))
    x = torch.ones(1)
    training.compile(x)
    state = model.state_dict()
    before = state["weight"].clone()
    state["weight"].fill_(5.0)
    training.copyWeightsToDevice()
    out, _ = training(x)
    training.copyWeightsToHost()
    return [before, out, state["weight"].clone(), model.weight.detach().clone()]
