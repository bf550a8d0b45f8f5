"""Dropout keeps about a part 1 - p and scales it; rows of an image batch drop independently."""

import torch

RETURNS = [[0.0, 4.0], True, True]


class Drop(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.drop = torch.nn.Dropout(0.75)

    def forward(self, x):
        rows = (torch.rand(x.shape[0], 1) + 0.5).floor()
        return self.drop(x), x * rows


def program(poptorch):
    dropped, rows = poptorch.inferenceModel(Drop(), poptorch.Options().randomSeed(0))(torch.ones(64, 32))
    share = float((dropped > 0).float().mean())
    kept = rows.mean(1)
    return [sorted(set(dropped.flatten().tolist())), 0.2 < share < 0.3, 10 < float(kept.sum()) < 54]
