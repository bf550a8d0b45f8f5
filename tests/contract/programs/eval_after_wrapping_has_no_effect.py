"""Train and eval mode are frozen when the model is compiled."""

import torch

RETURNS = [True, True]


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.drop = torch.nn.Dropout(0.5)

    def forward(self, x):
        return self.drop(x)


def program(poptorch):
    model = Net()
    model.train()
    training_mode = poptorch.inferenceModel(model)
    first = training_mode(torch.ones(256))
    model.eval()
    second = training_mode(torch.ones(256))
    return [bool((first == 0).any()), bool((second == 0).any())]
