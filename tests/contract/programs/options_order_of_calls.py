"""Setters chain, names below are stored values, and wrong batch settings fail at the latest when compiled."""

import torch

RETURNS = [2, 4, 3, "failed", "failed"]


def program(poptorch):
    options = poptorch.Options().deviceIterations(2).replicationFactor(3).outputMode(poptorch.OutputMode.All)
    options.replication_factor = 4
    options.Training.gradientAccumulation(3).setAutomaticLossScaling(False)
    found = [options.device_iterations, options.replication_factor, options.Training.gradient_accumulation]
    for number in (0, -1):
        try:
            wrong = poptorch.Options().deviceIterations(number)
            poptorch.inferenceModel(torch.nn.Identity(), wrong)(torch.ones(2))
        except Exception:
            found.append("failed")
    return found
