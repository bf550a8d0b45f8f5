"""anchorTensor returns a weight's gradient, loss-scaled and of each micro-batch, and its updated value."""

import torch

RETURNS = [[[4.0], [12.0]], [[-1.0]], "Error"]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch
        self.fc = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.ones_(self.fc.weight)

    def forward(self, x):
        return self.poptorch.identity_loss(self.fc(x), reduction="sum")


def trained(poptorch, name):
    options = poptorch.Options()
    options.Training.gradientAccumulation(2)
    options.anchorTensor("gradient", name, poptorch.OutputMode.All)
    options.anchorTensor("weight", "UpdatedVar___fc.weight")
    model = Net(poptorch)
    optimizer = poptorch.optim.SGD(model.parameters(), lr=1.0, loss_scaling=4.0)
    executor = poptorch.trainingModel(model, options, optimizer)
    executor(torch.tensor([[1.0], [3.0]]))
    return executor


def program(poptorch):
    executor = trained(poptorch, "Gradient___fc.weight")
    found = [executor.getAnchoredTensor("gradient"), executor.getAnchoredTensor("weight")]
    executor.destroy()
    try:
        trained(poptorch, "Gradient___nothing")
    except poptorch.Error as error:
        found.append(type(error).__name__)
    return found
