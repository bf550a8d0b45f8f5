"""A block of the model that no stage names is an AssertionError."""

import torch

RAISES = ("AssertionError", "second")


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.first = poptorch.BeginBlock(torch.nn.Linear(2, 2), "first")
        self.second = poptorch.BeginBlock(torch.nn.Linear(2, 2), "second")

    def forward(self, x):
        return self.second(self.first(x))


def program(poptorch):
    options = poptorch.Options().setExecutionStrategy(poptorch.PipelinedExecution("first", "third"))
    return poptorch.inferenceModel(Net(poptorch), options)(torch.ones(1, 2))
