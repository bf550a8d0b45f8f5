"""train, detach, validate, detach, train: each sees the newest weights, momentum lives on."""

import torch

# SGD, rate 0.1, momentum 0.5, gradient 1: steps 0.1, 0.15, 0.175
RETURNS = [-0.1, -0.25, -0.425, True, False]


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        y = self.weight * x
        return y, self.poptorch.identity_loss(y, "mean")


def program(poptorch):
    model = Net(poptorch)
    optimizer = poptorch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)
    training = poptorch.trainingModel(model, None, optimizer)
    inference = poptorch.inferenceModel(model)
    x = torch.ones(1)
    found = []
    for _ in range(3):
        training(x)
        training.detachFromDevice()
        found.append(float(inference(x)[0]))
        inference.detachFromDevice()
        training.attachToDevice()
    return [*found, training.isAttachedToDevice(), inference.isAttachedToDevice()]
