"""The executor's clone shows the resolved output mode; the user's object stays at Default."""

import torch

RETURNS = [True, 2, 0]


def program(poptorch):
    options = poptorch.Options()
    inference = poptorch.inferenceModel(torch.nn.Linear(2, 2), options)
    training = poptorch.trainingModel(torch.nn.Linear(2, 2), poptorch.Options())
    return [
        options.defaultOutputMode(),
        int(inference.options.output_mode),
        int(training.options.output_mode),
    ]
