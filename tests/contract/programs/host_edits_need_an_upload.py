"""Edits of weights on the host are seen after copyWeightsToDevice."""

import torch

RETURNS = [[[1.0]], [[1.0]], [[5.0]]]


def program(poptorch):
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.ones_(model.weight)
    inference = poptorch.inferenceModel(model)
    x = torch.ones(1, 1)
    first = inference(x)
    with torch.no_grad():
        model.weight.fill_(5.0)
    second = inference(x)
    inference.copyWeightsToDevice()
    return [first, second, inference(x)]
