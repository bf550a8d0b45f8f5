"""Lengths count combined batches: floor with drop_last, which is the default, ceil without."""

import warnings

import torch

RETURNS = [24, 4, 5, 4, [24, 24, 24, 24, 4]]


def program(poptorch):
    options = poptorch.Options().deviceIterations(2).replicationFactor(2)
    options.Training.gradientAccumulation(3)
    data = torch.utils.data.TensorDataset(torch.arange(100.0))
    loader = poptorch.DataLoader(options, data, batch_size=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = poptorch.DataLoader(options, data, batch_size=2, drop_last=False)
    sizes = [len(batch[0]) for batch in whole]
    return [loader.combinedBatchSize, len(loader), len(whole), len(list(loader)), sizes]
