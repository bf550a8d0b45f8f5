"""An output that is a CPU tensor when tracing comes back unchanged, with a Python warning."""

import warnings

import torch

RETURNS = [[0.0, 2.0], [5.0, 6.0, 7.0], True]


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.host = torch.tensor([5.0, 6.0, 7.0])

    def forward(self, x):
        return x * 2, self.host


def program(poptorch):
    options = poptorch.Options().deviceIterations(2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        out, host = poptorch.inferenceModel(Net(), options)(torch.arange(2.0))
    return [out, host, len(caught) > 0]
