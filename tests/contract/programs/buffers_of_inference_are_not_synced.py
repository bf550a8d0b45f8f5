"""Inference does not read changed buffers back: copyWeightsToHost does."""

import torch

RETURNS = [[0.0], [2.0]]


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x):
        self.calls.add_(1.0)
        return x + self.calls


def program(poptorch):
    model = Net()
    inference = poptorch.inferenceModel(model)
    inference(torch.ones(1))
    inference(torch.ones(1))
    before = model.calls.clone()
    inference.copyWeightsToHost()
    return [before, model.calls.clone()]
