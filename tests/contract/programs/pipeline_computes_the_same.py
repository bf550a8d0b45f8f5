"""Pipelining changes nothing in the result: two stages against none."""

import torch

RETURNS = True


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(2, 3)
        self.second = torch.nn.Linear(3, 2)

    def forward(self, x):
        return torch.nn.functional.mse_loss(self.second(torch.tanh(self.first(x))), x)


def weights_after(poptorch, split):
    torch.manual_seed(0)
    model = Net()
    if split:
        poptorch.BeginBlock(model.second, "second", ipu_id=1)
    options = poptorch.Options()
    options.Training.gradientAccumulation(4)
    training = poptorch.trainingModel(model, options, poptorch.optim.SGD(model.parameters(), lr=0.1))
    for step in range(3):
        training(torch.linspace(-1, 1 + step, 16).reshape(8, 2))
    return torch.cat([value.flatten() for value in model.state_dict().values()])


def program(poptorch):
    return torch.allclose(weights_after(poptorch, True), weights_after(poptorch, False), atol=1e-6)
