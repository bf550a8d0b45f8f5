"""Queries of an executor: latencies are three numbers, cycle counts must have been asked for."""

import torch

RETURNS = [3, 3, "refused", True]


def program(poptorch):
    model = poptorch.inferenceModel(torch.nn.Linear(2, 2))
    model(torch.ones(1, 2))
    found = [len(model.getLatency()), len(model.getComputeLatency())]
    try:
        model.cycleCount()
    except Exception:
        found.append("refused")
    return [*found, isinstance(model.getTensorNames(), list)]
