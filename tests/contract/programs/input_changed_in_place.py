"""What the forward writes into an input, also through a slice and in half, is seen in the host's tensor."""

import torch

RETURNS = [[2.0, 2.0], [0.0, 1.0, 1.0], [6.0], [1.0]]


class Net(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args, **named):
        return self.function(*args, **named)


def clear_first(x):
    x[:1] = 0.0
    return x * 1


def program(poptorch):
    doubled, cleared, half, kept = torch.ones(2), torch.ones(3), torch.full((1,), 3.0).half(), torch.ones(1)
    poptorch.inferenceModel(Net(lambda x: x.mul_(2.0)))(doubled)
    poptorch.inferenceModel(Net(clear_first))(cleared)
    poptorch.inferenceModel(Net(lambda x: x.add_(x)))(half)
    poptorch.inferenceModel(Net(lambda x: (x * 1).add_(1)))(kept)
    return [doubled, cleared, half, kept]
