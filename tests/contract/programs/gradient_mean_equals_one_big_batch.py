"""The default reduction divides by A * R: the update is that of one batch of all samples."""

import torch

# loss = mean(w * x), so the gradient is mean(x) = 3.5 and one step of rate 1 from 0 gives -3.5
RETURNS = [-3.5]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.identity_loss = poptorch.identity_loss

    def forward(self, x):
        return self.identity_loss(x * self.weight, reduction="mean")


def program(poptorch):
    options = poptorch.Options().replicationFactor(2)
    options.Training.gradientAccumulation(2)
    model = Net(poptorch)
    training = poptorch.trainingModel(model, options, poptorch.optim.SGD(model.parameters(), lr=1.0))
    training(torch.arange(8.0))
    return model.weight.detach()
