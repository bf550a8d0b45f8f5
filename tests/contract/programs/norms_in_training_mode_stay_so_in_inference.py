"""inferenceModel does not set eval: a batch norm in training mode uses the statistics of the micro-batch."""

import torch

RETURNS = [[[-1.0], [1.0], [-1.0], [1.0]], [[0.0], [2.0], [10.0], [16.0]]]


def program(poptorch):
    rows = torch.tensor([[0.0], [2.0], [10.0], [16.0]])
    options = poptorch.Options().deviceIterations(2)
    norm = torch.nn.BatchNorm1d(1, eps=1e-12, affine=False)
    busy = poptorch.inferenceModel(norm, options)(rows)
    calm = torch.nn.BatchNorm1d(1, eps=1e-12, affine=False).eval()
    return [busy, poptorch.inferenceModel(calm, options)(rows)]
