"""A value per call as a float buffer: an edit on the host and an upload change it without compiling again."""

import torch

RETURNS = [[2.0, 4.0], [5.0, 10.0]]


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("factor", torch.tensor([2.0]))

    def forward(self, x):
        return x * self.factor


def program(poptorch):
    net = Net()
    model = poptorch.inferenceModel(net, poptorch.Options().deviceIterations(2))
    first = model(torch.tensor([1.0, 2.0]))
    net.factor.fill_(5.0)
    model.copyWeightsToDevice()
    return [first, model(torch.tensor([1.0, 2.0]))]
