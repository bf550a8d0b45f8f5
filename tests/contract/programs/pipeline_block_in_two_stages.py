"""A block belongs to one stage."""

import torch

RAISES = ("AssertionError", "")


def program(poptorch):
    strategy = poptorch.PipelinedExecution(poptorch.Stage("a"), poptorch.Stage("b", "a"))
    options = poptorch.Options().setExecutionStrategy(strategy)
    poptorch.inferenceModel(torch.nn.Linear(2, 2), options)(torch.ones(1, 2))
