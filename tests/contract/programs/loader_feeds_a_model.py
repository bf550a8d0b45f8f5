"""A DataLoader's batch_size is the micro-batch; what it delivers is what a call takes."""

import torch

RETURNS = [12, 2, [36.0, 108.0]]


class Total(torch.nn.Module):
    def forward(self, x):
        return x.sum().reshape(1)


def program(poptorch):
    options = poptorch.Options().deviceIterations(2).replicationFactor(2)
    loader = poptorch.DataLoader(options, torch.arange(24.0) / 2, batch_size=3)
    model = poptorch.inferenceModel(Total(), options)
    totals = [float(model(batch).sum()) for batch in loader]
    return [loader.combinedBatchSize, len(loader), [totals[0] + 3.0, totals[1] + 3.0]]
