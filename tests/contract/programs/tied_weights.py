"""A parameter used twice gets both gradients and one update; both names are in the state."""

import torch

RETURNS = [["first.weight", "second.weight"], [[-1.0]], True]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch
        self.first = torch.nn.Linear(1, 1, bias=False)
        self.second = torch.nn.Linear(1, 1, bias=False)
        self.second.weight = self.first.weight
        torch.nn.init.ones_(self.first.weight)

    def forward(self, x):
        return self.poptorch.identity_loss(self.second(self.first(x)), "sum")


def program(poptorch):
    model = Net(poptorch)
    training = poptorch.trainingModel(model, None, torch.optim.SGD(model.parameters(), lr=1.0))
    training(torch.ones(1, 1))
    state = model.state_dict()
    return [list(state), state["second.weight"], torch.equal(*state.values())]
